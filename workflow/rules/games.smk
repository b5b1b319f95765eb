# RQ1: deletion and insertion games, which score the maps of a method, or the baselines.


rule play_games:
    input:
        traces="<traces>",
        maps=branch(lambda wildcards: wildcards.method in METHODS, then=["<maps>"], otherwise=[]),
        error_left=error_left_for("games"),
        fetched=fetched("probe", "model"),
    output:
        auc="<results>/tables/parts/rq1_auc/<batch>/{method}.tsv",
        curves="<results>/tables/parts/rq1_curves/<batch>/{method}.tsv",
    log:
        "<logs>/play_games/<batch>/{method}.log",
    benchmark:
        "<benchmarks>/play_games/<batch>/{method}.jsonl"
    wildcard_constraints:
        method=one_of([*METHODS, BASELINES]),
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        clip=spec("probe", "model"),
        steps=lookup(dpath="games/steps", within=config),
        samples=lookup(dpath="games/samples", within=config),
        deletion=lookup(dpath="games/deletion", within=config),
        insertion=lookup(dpath="games/insertion", within=config),
        others=lookup(dpath="games/others", within=config),
        scores=lookup(dpath="games/scores", within=config),
        draws=lookup(dpath="games/draws", within=config),
        moves=lookup(dpath="games/moves", within=config),
        batch=lookup(dpath="games/batch", within=config),
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.games", tables=("rq1_auc", "rq1_curves")),
    script:
        "../scripts/play_games.py"


rule measure_substrates:
    input:
        traces="<traces>",
        error_left=error_left_for("games"),
    output:
        "<results>/tables/parts/rq1_substrates/<batch>.tsv",
    log:
        "<logs>/measure_substrates/<batch>.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="1h",
    params:
        model=spec("models", "{model}"),
        steps=lookup(dpath="games/steps", within=config),
        samples=lookup(dpath="games/samples", within=config),
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.substrate_distances", tables=("rq1_substrates",)),
    script:
        "../scripts/measure_substrates.py"
