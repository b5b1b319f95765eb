# RQ1: which of its verdicts hold under the other choices that the tables allow.
CHOSEN = ("rq1_recovery", "rq1_saliency", "rq1_auc")


rule measure_sensitivity:
    input:
        **{name: parts(name) for name in CHOSEN},
    output:
        "<results>/tables/rq1_sensitivity.tsv",
    log:
        "<logs>/measure_sensitivity.log",
    benchmark:
        "<benchmarks>/measure_sensitivity.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        samplings=lookup(dpath="samplings", within=config),
        statistics=lookup(dpath="statistics", within=config),
        code=code("statistics.sensitivity", tables=CHOSEN),
    script:
        "../scripts/measure_sensitivity.py"


use rule plot_rq1_maps_over_time as plot_rq1_sensitivity with:
    input:
        "<results>/tables/rq1_sensitivity.tsv",
    output:
        **figure("rq1_sensitivity", "verdicts under other choices"),
    log:
        "<logs>/plot_rq1_sensitivity.log",
    benchmark:
        "<benchmarks>/plot_rq1_sensitivity.jsonl"
    params:
        figure="rq1_sensitivity",
        settings={"confidence": config["statistics"]["confidence"]},
        statistics=config["statistics"],  # for the caption
        code=code("figures.sensitivity", "store.tables"),
