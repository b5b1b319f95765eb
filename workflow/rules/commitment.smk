# RQ3: until when a concept can be overridden by another prompt, and since when it is decided, by
# continuations from stored steps.


rule measure_commitment:
    input:
        traces="<traces>",
        fetched=fetched("probe", "model"),
    output:
        commitment="<results>/tables/parts/rq3_commitment/<batch>.tsv",
        decided="<results>/tables/parts/rq3_decided/<batch>.tsv",
    log:
        "<logs>/measure_commitment/<batch>.log",
    benchmark:
        "<benchmarks>/measure_commitment/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        clip=spec("probe", "model"),
        readers=lookup(dpath="probe/readers", within=config, default={}),
        reader_code=lambda wildcards: [
            code_with(entry["function"]) for entry in config["probe"].get("readers", {}).values()
        ],
        side=lookup(dpath="probe/size", within=config),
        families=lookup(dpath="probe/families", within=config),
        settings={key: value for key, value in config["commitment"].items() if key != "earliest"},
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.continuations", tables=("rq3_commitment", "rq3_decided")),
    script:
        "../scripts/measure_commitment.py"


use rule plot_rq1_maps_over_time as plot_rq3_commitment with:
    input:
        table("rq3_commitment"),
    output:
        **figure("rq3_commitment", "commitment to concepts"),
    log:
        "<logs>/plot_rq3_commitment.log",
    benchmark:
        "<benchmarks>/plot_rq3_commitment.jsonl"
    params:
        figure="rq3_commitment",
        settings={"commitment": config["commitment"], "bootstrap": config["statistics"]},
        code=code("figures.commitment", "store.tables", tables=("rq3_commitment",)),
