# RQ3: the clocks of a concept, all batches together, from the tables that each is read from.
# Clocks that a table knows to lie between its columns `lower` and `upper`, where a study makes it.
BETWEEN = {"overridable": "rq3_commitment", "decided": "rq3_decided"}
BETWEEN = {
    clock: name
    for clock, name in BETWEEN.items()
    if name in TABLES and {"lower", "upper"} <= set(TABLES[name].columns)
}
# Models that draw the composed world's scenes, for which its own clock is the truth.
OF_WORLD = [
    name
    for name, entry in config["models"].items()
    if entry.get("folder") == str(Path(AUTOENCODER).parent)
]
READ = ("rq3_concepts", "rq3_emergence", "rq2_relevance", *BETWEEN.values())


def truth(wildcards):
    """The world's clock, if the target `world_clock` has made it."""
    path = table("world_clock_families")
    return path if OF_WORLD and Path(path).exists() else []


rule measure_clocks:
    input:
        concepts=table("rq3_concepts"),
        emergence=table("rq3_emergence"),
        words=table("rq2_relevance"),
        world=truth,
        **{clock: table(name) for clock, name in BETWEEN.items()},
    output:
        clocks="<results>/tables/rq3_clocks.tsv",
        summary="<results>/tables/rq3_clocks_summary.tsv",
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
        code=code("statistics.clock_summary", "store.tables", tables=READ),
    script:
        "../scripts/measure_clocks.py"
