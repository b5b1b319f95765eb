# RQ3: the clocks of a concept, all batches together, from the tables that each is read from, and the
# figures of clocks, samplings and claims.
# Clocks that a table knows to lie between its columns `lower` and `upper`.
BETWEEN = {"overridable": "rq3_commitment", "decided": "rq3_decided"}
# Models that draw the composed world's scenes, for which its own clock is the truth.
OF_WORLD = [
    name
    for name, entry in config["models"].items()
    if entry.get("folder") == str(Path(AUTOENCODER).parent)
]
SHIPPED_CLOCK = str(Path(AUTOENCODER).parents[1] / "world_clock_families.tsv")
# Batches that say which log-SNR each step has, one of each model, dataset and sampling.
FIRST_BATCHES = [unit for unit in PLAN.units() if unit["batch"] == PLAN.batches(unit["dataset"])[0]]
READ_BY_CLOCKS = ("rq3_concepts", "rq3_emergence", "rq2_relevance", "rq3_nulls", *BETWEEN.values())
READ_BY_CLOCKS += ("rq3_earliest",)


rule measure_clocks:
    input:
        **{clock: table(name) for clock, name in BETWEEN.items()},
        axes=stores("<part>", FIRST_BATCHES, table="rq3_concepts"),
        emergence=table("rq3_emergence"),
        words=parts("rq2_relevance"),
        earliest=table("rq3_earliest_summary"),
        world=truth,
        nulls=table("rq3_nulls") if "rq3_nulls" in MADE else [],
    output:
        clocks="<results>/tables/rq3_clocks.tsv",
        summary="<results>/tables/rq3_clocks_summary.tsv",
        null="<results>/tables/rq3_clocks_null.tsv",
    log:
        "<logs>/measure_clocks.log",
    benchmark:
        "<benchmarks>/measure_clocks.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        between=list(BETWEEN),
        families={name: entry["concepts"] for name, entry in config["probe"]["families"].items()},
        models=OF_WORLD,
        statistics=lookup(dpath="statistics", within=config),
        code=code("statistics.null_clocks", "store.tables", tables=READ_BY_CLOCKS),
    script:
        "../scripts/measure_clocks.py"


use rule plot_rq1_maps_over_time as plot_rq3_samplings with:
    input:
        previews=stores("<previews>", BY_SAMPLING),
        changes=[table(name) for name in MADE if name == "rq3_samplings"],
    output:
        **figure("rq3_samplings", "pictures by sampling"),
    log:
        "<logs>/plot_rq3_samplings.log",
    benchmark:
        "<benchmarks>/plot_rq3_samplings.jsonl"
    params:
        figure="rq3_samplings",
        settings={
            "records": BY_SAMPLING,
            "samplings": config["samplings"],
            "bootstrap": config["statistics"],
        },
        code=code("figures.samplings", "figures.samples", "store.tables", tables=("rq3_samplings",)),


use rule plot_rq1_maps_over_time as plot_rq3_clocks with:
    input:
        clocks=table("rq3_clocks"),
        summary=table("rq3_clocks_summary"),
    output:
        **figure("rq3_clocks", "clocks of a concept"),
    log:
        "<logs>/plot_rq3_clocks.log",
    benchmark:
        "<benchmarks>/plot_rq3_clocks.jsonl"
    params:
        figure="rq3_clocks",
        settings={
            "confidence": config["statistics"]["confidence"],
            "sampling": STUDIED["sampling"],  # the table has the others
        },
        code=code("figures.clocks", "store.tables"),


use rule plot_rq1_maps_over_time as plot_claims with:
    input:
        "<results>/tables/claims.tsv",
    output:
        **figure("claims", "claims and their verdicts"),
    log:
        "<logs>/plot_claims.log",
    benchmark:
        "<benchmarks>/plot_claims.jsonl"
    params:
        figure="claims",
        settings={"confidence": config["statistics"]["confidence"]},
        statistics=config["statistics"],  # for the caption, which the table shares
        code=code("figures.claims", "store.tables"),
