# How many denoiser calls DF-RISE takes, by its estimators, from many more masks than it needs.


rule measure_convergence:
    input:
        traces="<traces>",
        masks="<masks>",
        error_left=error_left_for("convergence"),
    output:
        "<results>/tables/parts/rq1_convergence/<batch>.tsv",
    log:
        "<logs>/measure_convergence/<batch>.log",
    benchmark:
        "<benchmarks>/measure_convergence/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        settings=lookup(dpath="convergence", within=config),
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.convergence", tables=("rq1_convergence",)),
    script:
        "../scripts/measure_convergence.py"


use rule plot_rq1_maps_over_time as plot_rq1_convergence with:
    input:
        table("rq1_convergence"),
    output:
        **figure("rq1_convergence", "calls until maps converge"),
    log:
        "<logs>/plot_rq1_convergence.log",
    benchmark:
        "<benchmarks>/plot_rq1_convergence.jsonl"
    params:
        figure="rq1_convergence",
        settings={"convergence": config["convergence"], "bootstrap": config["statistics"]},
        code=code("figures.convergence", "store.tables", tables=("rq1_convergence",)),
