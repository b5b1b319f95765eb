# Figures: one rule, one script, one figure, as PDF and PNG; numbers come from the tables alone.
include: "pictured.smk"


# Methods whose maps are shown, and the samples they are shown for.
SHOWN_MAP = preferred("df_rise")
SHOWN_WORD_MAP = preferred("df_cam_word", "cross_attention", "relevance", "information")
SHOWN_RELEVANCE = preferred("relevance", "information")
OVER_TIME = pictured(4, first_sampling(SHOWN_MAP))
BY_WORD = pictured(3, first_sampling(SHOWN_WORD_MAP))
BY_SAMPLING = pictured(6, config["samplings"])


rule plot_rq1_maps_over_time:
    input:
        previews=stores("<previews>", OVER_TIME),
        masks=stores("<masks>", OVER_TIME),
        maps=stores("<maps>", OVER_TIME, method=SHOWN_MAP),
    output:
        pdf=report(
            "<results>/figures/rq1_maps_over_time.pdf",
            caption="../report/rq1_maps_over_time.rst",
            category="RQ1: what a step recovers",
            labels={"figure": "maps over time", "form": "PDF"},
        ),
        png=report(
            "<results>/figures/rq1_maps_over_time.png",
            caption="../report/rq1_maps_over_time.rst",
            category="RQ1: what a step recovers",
            labels={"figure": "maps over time", "form": "PNG"},
        ),
    log:
        "<logs>/plot_rq1_maps_over_time.log",
    benchmark:
        "<benchmarks>/plot_rq1_maps_over_time.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
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
        curves="<results>/tables/rq1_curves.tsv",
        areas="<results>/tables/rq1_auc.tsv",
    output:
        pdf=report(
            "<results>/figures/rq1_auc.pdf",
            caption="../report/rq1_auc.rst",
            category="RQ1: what a step recovers",
            labels={"figure": "deletion and insertion games", "form": "PDF"},
        ),
        png=report(
            "<results>/figures/rq1_auc.png",
            caption="../report/rq1_auc.rst",
            category="RQ1: what a step recovers",
            labels={"figure": "deletion and insertion games", "form": "PNG"},
        ),
    log:
        "<logs>/plot_rq1_auc.log",
    benchmark:
        "<benchmarks>/plot_rq1_auc.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
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
        "<results>/tables/rq1_recovery.tsv",
    output:
        pdf=report(
            "<results>/figures/rq1_recovery.pdf",
            caption="../report/rq1_recovery.rst",
            category="RQ1: what a step recovers",
            labels={"figure": "recovery by region and band", "form": "PDF"},
        ),
        png=report(
            "<results>/figures/rq1_recovery.png",
            caption="../report/rq1_recovery.rst",
            category="RQ1: what a step recovers",
            labels={"figure": "recovery by region and band", "form": "PNG"},
        ),
    log:
        "<logs>/plot_rq1_recovery.log",
    benchmark:
        "<benchmarks>/plot_rq1_recovery.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
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
        relevance="<results>/tables/rq2_relevance.tsv",
        previews=stores("<previews>", BY_WORD),
        masks=stores("<masks>", BY_WORD),
        maps=stores("<maps>", BY_WORD, method=SHOWN_WORD_MAP),
    output:
        pdf=report(
            "<results>/figures/rq2_words.pdf",
            caption="../report/rq2_words.rst",
            category="RQ2: which words a step works on",
            labels={"figure": "words over time", "form": "PDF"},
        ),
        png=report(
            "<results>/figures/rq2_words.png",
            caption="../report/rq2_words.rst",
            category="RQ2: which words a step works on",
            labels={"figure": "words over time", "form": "PNG"},
        ),
    log:
        "<logs>/plot_rq2_words.log",
    benchmark:
        "<benchmarks>/plot_rq2_words.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
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
        concepts="<results>/tables/rq3_concepts.tsv",
        onsets="<results>/tables/rq3_emergence.tsv",
    output:
        pdf=report(
            "<results>/figures/rq3_emergence.pdf",
            caption="../report/rq3_emergence.rst",
            category="RQ3: which concept a step decides",
            labels={"figure": "emergence of concepts", "form": "PDF"},
        ),
        png=report(
            "<results>/figures/rq3_emergence.png",
            caption="../report/rq3_emergence.rst",
            category="RQ3: which concept a step decides",
            labels={"figure": "emergence of concepts", "form": "PNG"},
        ),
    log:
        "<logs>/plot_rq3_emergence.log",
    benchmark:
        "<benchmarks>/plot_rq3_emergence.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
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
        pdf=report(
            "<results>/figures/rq3_samplings.pdf",
            caption="../report/rq3_samplings.rst",
            category="RQ3: which concept a step decides",
            labels={"figure": "pictures by sampling", "form": "PDF"},
        ),
        png=report(
            "<results>/figures/rq3_samplings.png",
            caption="../report/rq3_samplings.rst",
            category="RQ3: which concept a step decides",
            labels={"figure": "pictures by sampling", "form": "PNG"},
        ),
    log:
        "<logs>/plot_rq3_samplings.log",
    benchmark:
        "<benchmarks>/plot_rq3_samplings.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        records=BY_SAMPLING,
        samplings=lookup(dpath="samplings", within=config),
        code=code("figures_rq3", "pictures"),
    script:
        "../scripts/plot_rq3_samplings.py"
