# Figures: one rule, one script, one figure, as PDF and PNG; numbers come from the tables alone.
# Methods whose maps are shown, and the samples they are shown for.
SHOWN_MAP = PLAN.preferred("df_rise")
SHOWN_WORD_MAP = PLAN.preferred("df_cam_word", "cross_attention", "relevance", "information")
SHOWN_RELEVANCE = PLAN.preferred("relevance", "information", "cross_attention", "df_cam_word")
OVER_TIME = PLAN.pictured(4, PLAN.first_sampling(SHOWN_MAP))
BY_WORD = PLAN.pictured(3, PLAN.first_sampling(SHOWN_WORD_MAP))
SHOWN_LAYERS = PLAN.preferred("df_cam")
BY_LAYER = PLAN.pictured(2, PLAN.first_sampling(SHOWN_LAYERS))
BY_SAMPLING = PLAN.pictured(6, list(config["samplings"]))


rule plot_rq1_maps_over_time:
    input:
        previews=stores("<previews>", OVER_TIME),
        masks=stores("<masks>", OVER_TIME),
        maps=stores("<maps>", OVER_TIME, method=SHOWN_MAP),
    output:
        **figure("rq1_maps_over_time", "maps over time"),
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
        figure="rq1_maps_over_time",
        # all of a figure's own, since single parameters would be inherited by the figures below
        settings={
            "records": OVER_TIME,
            "method": SHOWN_MAP,
            "entry": config["explain"][SHOWN_MAP],
        },
        code=code("figures.rq1", "figures.samples"),
    script:
        "../scripts/plot_{params.figure}.py"


use rule plot_rq1_maps_over_time as plot_rq1_auc with:
    input:
        curves=table("rq1_curves"),
        areas=table("rq1_auc"),
    output:
        **figure("rq1_auc", "deletion and insertion games"),
    log:
        "<logs>/plot_rq1_auc.log",
    benchmark:
        "<benchmarks>/plot_rq1_auc.jsonl"
    params:
        figure="rq1_auc",
        settings={"games": config["games"], "bootstrap": config["statistics"]},
        code=code("figures.games", "store.tables", tables=("rq1_auc", "rq1_curves")),


use rule plot_rq1_maps_over_time as plot_rq1_recovery with:
    input:
        table("rq1_recovery_summary"),
    output:
        **figure("rq1_recovery", "recovery by region and band"),
    log:
        "<logs>/plot_rq1_recovery.log",
    benchmark:
        "<benchmarks>/plot_rq1_recovery.jsonl"
    params:
        figure="rq1_recovery",
        settings={"bootstrap": config["statistics"], "samplings": list(config["samplings"])},
        code=code("figures.rq1", "store.tables", tables=("rq1_recovery",)),


use rule plot_rq1_maps_over_time as plot_rq2_words with:
    input:
        relevance=list(dict.fromkeys(stores("<part>", BY_WORD, table="rq2_relevance"))),
        previews=stores("<previews>", BY_WORD),
        masks=stores("<masks>", BY_WORD),
        maps=stores("<maps>", BY_WORD, method=SHOWN_WORD_MAP),
    output:
        **figure("rq2_words", "words over time"),
    log:
        "<logs>/plot_rq2_words.log",
    benchmark:
        "<benchmarks>/plot_rq2_words.jsonl"
    params:
        figure="rq2_words",
        settings={
            "records": BY_WORD,
            "method": SHOWN_RELEVANCE,
            "map_method": SHOWN_WORD_MAP,
        },
        code=code("figures.rq2", "figures.samples", "store.tables", tables=("rq2_relevance",)),


use rule plot_rq1_maps_over_time as plot_rq2_agreement with:
    input:
        table("rq2_agreement"),
    output:
        **figure("rq2_agreement", "agreement of methods on words"),
    log:
        "<logs>/plot_rq2_agreement.log",
    benchmark:
        "<benchmarks>/plot_rq2_agreement.jsonl"
    params:
        figure="rq2_agreement",
        settings={"bootstrap": config["statistics"]},
        code=code("figures.rq2_agreement", "store.tables", tables=("rq2_agreement",)),


use rule plot_rq1_maps_over_time as plot_rq3_emergence with:
    input:
        concepts=stores("<part>", PLAN.units(), table="rq3_concepts"),
        counted=table("rq3_emergence"),
        clocks=table("rq3_clocks"),
    output:
        **figure("rq3_emergence", "emergence of concepts"),
    log:
        "<logs>/plot_rq3_emergence.log",
    benchmark:
        "<benchmarks>/plot_rq3_emergence.jsonl"
    params:
        figure="rq3_emergence",
        settings={"families": config["probe"]["families"], "bootstrap": config["statistics"]},
        code=code("figures.rq3", "statistics.summaries", "store.tables", tables=EMERGING),
