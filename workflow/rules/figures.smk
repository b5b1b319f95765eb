# Figures: one rule, one script, one figure, as PDF and PNG; numbers come from the tables alone.
include: "pictured.smk"


rule plot_rq1_maps_over_time:
    input:
        previews=stores("<previews>", OVER_TIME),
        masks=stores("<masks>", OVER_TIME),
        maps=stores("<maps>", OVER_TIME, method=SHOWN_MAP),
    output:
        pdf=figure("rq1_maps_over_time.pdf", "RQ1", "maps over time"),
        png=figure("rq1_maps_over_time.png", "RQ1", "maps over time"),
    log:
        "<logs>/plot_rq1_maps_over_time.log",
    benchmark:
        "<benchmarks>/plot_rq1_maps_over_time.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        records=OVER_TIME,
        method=SHOWN_MAP,
        settings=lookup(dpath=f"explain/{SHOWN_MAP}", within=config),
        code=code("figures_rq1", "pictures"),
    script:
        "../scripts/plot_rq1_maps_over_time.py"


rule plot_rq1_auc:
    input:
        curves=table("rq1_curves"),
        areas=table("rq1_auc"),
    output:
        pdf=figure("rq1_auc.pdf", "RQ1", "deletion and insertion games"),
        png=figure("rq1_auc.png", "RQ1", "deletion and insertion games"),
    log:
        "<logs>/plot_rq1_auc.log",
    benchmark:
        "<benchmarks>/plot_rq1_auc.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        games=lookup(dpath="games", within=config),
        bootstrap=lookup(dpath="statistics", within=config),
        code=code("figures_games", "tables"),
    script:
        "../scripts/plot_rq1_auc.py"


rule plot_rq1_recovery:
    input:
        table("rq1_recovery"),
    output:
        pdf=figure("rq1_recovery.pdf", "RQ1", "recovery by region and band"),
        png=figure("rq1_recovery.png", "RQ1", "recovery by region and band"),
    log:
        "<logs>/plot_rq1_recovery.log",
    benchmark:
        "<benchmarks>/plot_rq1_recovery.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        bootstrap=lookup(dpath="statistics", within=config),
        code=code("figures_rq1", "tables"),
    script:
        "../scripts/plot_rq1_recovery.py"


rule plot_rq2_words:
    input:
        relevance=table("rq2_relevance"),
        previews=stores("<previews>", BY_WORD),
        masks=stores("<masks>", BY_WORD),
        maps=stores("<maps>", BY_WORD, method=SHOWN_WORD_MAP),
    output:
        pdf=figure("rq2_words.pdf", "RQ2", "words over time"),
        png=figure("rq2_words.png", "RQ2", "words over time"),
    log:
        "<logs>/plot_rq2_words.log",
    benchmark:
        "<benchmarks>/plot_rq2_words.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        records=BY_WORD,
        method=SHOWN_RELEVANCE,
        map_method=SHOWN_WORD_MAP,
        code=code("figures_rq2", "pictures", "tables"),
    script:
        "../scripts/plot_rq2_words.py"


rule plot_rq3_emergence:
    input:
        concepts=table("rq3_concepts"),
        onsets=table("rq3_emergence"),
    output:
        pdf=figure("rq3_emergence.pdf", "RQ3", "emergence of concepts"),
        png=figure("rq3_emergence.png", "RQ3", "emergence of concepts"),
    log:
        "<logs>/plot_rq3_emergence.log",
    benchmark:
        "<benchmarks>/plot_rq3_emergence.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        families=lookup(dpath="probe/families", within=config),
        bootstrap=lookup(dpath="statistics", within=config),
        code=code("figures_rq3", "tables"),
    script:
        "../scripts/plot_rq3_emergence.py"


rule plot_rq3_samplings:
    input:
        stores("<previews>", BY_SAMPLING),
    output:
        pdf=figure("rq3_samplings.pdf", "RQ3", "pictures by sampling"),
        png=figure("rq3_samplings.png", "RQ3", "pictures by sampling"),
    log:
        "<logs>/plot_rq3_samplings.log",
    benchmark:
        "<benchmarks>/plot_rq3_samplings.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        records=BY_SAMPLING,
        samplings=lookup(dpath="samplings", within=config),
        code=code("figures_rq3", "pictures"),
    script:
        "../scripts/plot_rq3_samplings.py"
