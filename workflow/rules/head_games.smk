# RQ2: the attention heads' game: is a word lost first with the heads that a method names?
FIGURES["rq2_head_games"] = ["rq2_head_games"]
HEAD_GAMES = [] if config["head_games"]["samples"] == 0 else target("rq2_head_games")


rule play_head_games:
    input:
        traces="<traces>",
        grounding="<results>/tables/parts/rq2_heads/<batch>.tsv",
        maps=maps_by_head,
        error_left=error_left_for("head_games"),
    output:
        "<results>/tables/parts/rq2_head_games/<batch>.tsv",
    log:
        "<logs>/play_head_games/<batch>.log",
    benchmark:
        "<benchmarks>/play_head_games/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        steps=lookup(dpath="head_games/steps", within=config),
        samples=lookup(dpath="head_games/samples", within=config),
        roles=lookup(dpath="head_games/roles", within=config),
        draws=lookup(dpath="head_games/draws", within=config),
        moves=lookup(dpath="head_games/moves", within=config),
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.head_games", tables=("rq2_heads", "rq2_head_games")),
    script:
        "../scripts/play_head_games.py"


use rule plot_rq1_maps_over_time as plot_rq2_head_games with:
    input:
        table("rq2_head_games"),
    output:
        **figure("rq2_head_games", "the heads' game"),
    log:
        "<logs>/plot_rq2_head_games.log",
    benchmark:
        "<benchmarks>/plot_rq2_head_games.jsonl"
    params:
        figure="rq2_head_games",
        settings={"game": config["head_games"], "bootstrap": config["statistics"]},
        code=code("figures.rq2_head_games", "store.tables", tables=("rq2_head_games",)),
