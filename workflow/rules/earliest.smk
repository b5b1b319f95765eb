# RQ3: since when nearby noises whose pictures come to show other concepts are told from those whose
# pictures do not, by sampling from stored noises and from others near them.


rule measure_earliest:
    input:
        traces="<traces>",
        fetched=fetched("probe", "model"),
    output:
        "<results>/tables/parts/rq3_earliest/<batch>.tsv",
    log:
        "<logs>/measure_earliest/<batch>.log",
    benchmark:
        "<benchmarks>/measure_earliest/<batch>.jsonl"
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
        families={
            name: entry
            for name, entry in config["probe"]["families"].items()
            if name in (config["commitment"]["families"] or [name])
        },
        settings=lookup(dpath="commitment/earliest", within=config),
        code=code("scores.earliest", tables=("rq3_earliest",)),
    script:
        "../scripts/measure_earliest.py"
