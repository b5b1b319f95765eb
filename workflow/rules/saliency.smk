# RQ1 from the trace and from maps: what a step recovers, and where its maps lie.


rule recover:
    input:
        traces="<traces>",
        masks="<masks>",
        moments="<moments>",
    output:
        "<results>/tables/parts/rq1_recovery/<batch>.tsv",
    log:
        "<logs>/recover/<batch>.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="2GB",
        runtime="1h",
    params:
        code=code("scores.recovery", tables=("rq1_recovery",)),
    script:
        "../scripts/recover.py"


rule score_saliency:
    input:
        traces="<traces>",
        previews="<previews>",
        masks="<masks>",
        maps=collect("<results>/maps/<batch>/{method}.zarr", method=methods_of, allow_missing=True),
    output:
        "<results>/tables/parts/rq1_saliency/<batch>.tsv",
    log:
        "<logs>/score_saliency/<batch>.log",
    benchmark:
        "<benchmarks>/score_saliency/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.saliency", tables=("rq1_saliency",)),
    script:
        "../scripts/score_saliency.py"
