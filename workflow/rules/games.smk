# RQ1: deletion and insertion games, which score the maps of all methods and the baselines.


rule play_games:
    input:
        traces="<traces>",
        maps=collect("<results>/maps/<batch>/{method}.zarr", method=methods_of, allow_missing=True),
        fetched=fetched("probe", "model"),
    output:
        auc="<results>/tables/parts/rq1_auc/<batch>.tsv",
        curves="<results>/tables/parts/rq1_curves/<batch>.tsv",
    log:
        "<logs>/play_games/<batch>.log",
    benchmark:
        "<benchmarks>/play_games/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem="4GB",
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        clip=spec("probe", "model"),
        steps=lookup(dpath="games/steps", within=config),
        samples=lookup(dpath="games/samples", within=config),
        deletion=lookup(dpath="games/deletion", within=config),
        insertion=lookup(dpath="games/insertion", within=config),
        batch=lookup(dpath="games/batch", within=config),
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("games"),
    script:
        "../scripts/play_games.py"
