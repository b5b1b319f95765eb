# RQ3: the clocks of denoisers that decide nothing, the Gaussian null and a fixed picture.


rule measure_nulls:
    input:
        traces="<traces>",
        moments="<moments>",
        fetched=fetched("probe", "model"),
    output:
        "<results>/tables/parts/rq3_nulls/<batch>.tsv",
    log:
        "<logs>/measure_nulls/<batch>.log",
    benchmark:
        "<benchmarks>/measure_nulls/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="2h",
    params:
        model=spec("models", "{model}"),
        clip=spec("probe", "model"),
        readers=lookup(dpath="probe/readers", within=config, default={}),
        reader_code=lambda wildcards: [
            code_with(entry["function"]) for entry in config["probe"].get("readers", {}).values()
        ],
        side=lookup(dpath="probe/size", within=config),
        families=lookup(dpath="probe/families", within=config),
        settings=lookup(dpath="commitment", within=config),
        samples=lookup(dpath="nulls/samples", within=config),
        code=code("scores.nulls", tables=("rq3_nulls",)),
    script:
        "../scripts/measure_nulls.py"
