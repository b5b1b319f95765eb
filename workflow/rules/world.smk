# Truth in time of the composed scenes: when a noised latent of the shipped autoencoder holds a concept.
AUTOENCODER = "resources/models/pipeline/vae"
# What is drawn beside it: the study's first model, dataset and sampling.
STUDIED = {key: value for key, value in next(PLAN.units()).items() if key != "batch"}
CLOCK = ("world_clock", "world_clock_families")
DRAWN = (*CLOCK, "rq3_emergence")


rule measure_world:
    output:
        clock="<results>/tables/world_clock.tsv",
        families="<results>/tables/world_clock_families.tsv",
    log:
        "<logs>/measure_world.log",
    benchmark:
        "<benchmarks>/measure_world.jsonl"
    conda:
        "../../envs/generate.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        folder=str(folder_at(AUTOENCODER)),
        fingerprint=lambda wildcards: digests.fingerprint(folder_at(AUTOENCODER)),
        settings=recipe("clock"),
        code=code("embedded.training.clock", "store.tables", tables=CLOCK),
    script:
        "../scripts/measure_world.py"


use rule plot_rq1_maps_over_time as plot_world_clock with:
    input:
        clock=table("world_clock"),
        families=table("world_clock_families"),
        onsets=table("rq3_emergence"),
        error_left=stores("<error_left>", [STUDIED]),
    output:
        **figure("world_clock", "truth in time"),
    log:
        "<logs>/plot_world_clock.log",
    benchmark:
        "<benchmarks>/plot_world_clock.jsonl"
    params:
        figure="world_clock",
        settings={"studied": STUDIED},
        code=code("figures.world_clock", "store.error_left", "store.tables", tables=DRAWN),


rule world_clock:
    input:
        rules.measure_world.output,
        rules.plot_world_clock.output,
    localrule: True
