# RQ3: what early and latter sampling change against the uniform one. A part is of a batch, whose
# sampling is the uniform one: the reference and what is loaded are then shared by all.
# Tables that the study has rows for.
UNMADE = set() if any(PLAN.contrasts()) else {"rq3_samplings"}
UNMADE |= set() if config["nulls"]["samples"] != 0 else {"rq3_nulls"}
MADE = [name for name in TABLES if name not in UNMADE]


rule contrast_samplings:
    input:
        traces=stores_compared("<traces>"),
        previews=stores_compared("<previews>"),
        fetched=fetched("probe", "model"),
        segmenter=fetched("ground"),
    output:
        "<results>/tables/parts/rq3_samplings/<batch>.tsv",
    log:
        "<logs>/contrast_samplings/<batch>.log",
    benchmark:
        "<benchmarks>/contrast_samplings/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="2h",
    params:
        model=spec("models", "{model}"),
        ground=spec("ground"),
        clip=spec("probe", "model"),
        families=lookup(dpath="probe/families", within=config),
        reader=reader_of("contrast"),
        reader_code=reader_code_of("contrast"),
        samplings=samplings_compared,
        settings=lookup(dpath="contrast", within=config),
        code=code("scores.contrast", tables=("rq3_samplings",)),
    script:
        "../scripts/contrast_samplings.py"
