# RQ3: what early and latter sampling change against the uniform one. A part is of a batch, whose
# sampling is the uniform one: the reference and what is loaded are then shared by all.
# Tables that the study has rows for.
MADE = [name for name in TABLES if name != "rq3_samplings" or any(PLAN.contrasts())]


def stores_compared(pattern):
    """A getter of the stores of a batch under the uniform and the exponential samplings."""

    def get(wildcards):
        names = [wildcards.sampling, *PLAN.contrasted[wildcards.sampling]]
        units = [dict(wildcards.items()) | {"sampling": name} for name in names]
        return stores(pattern, units)

    return get


def samplings_compared(wildcards):
    """Entries of the samplings that are compared, the uniform one first."""
    names = [wildcards.sampling, *PLAN.contrasted[wildcards.sampling]]
    return {name: config["samplings"][name] for name in names}


def reader_compared(wildcards):
    """Name and entry of what reads the pictures beside the CLIP; none without."""
    name = config["contrast"]["reader"]
    return [name, config["probe"]["readers"][name]] if name else None


def reader_compared_code(wildcards):
    """Digest of the code behind it."""
    reader = reader_compared(wildcards)
    return code_with(reader[1]["function"]) if reader else ""


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
        reader=reader_compared,
        reader_code=reader_compared_code,
        samplings=samplings_compared,
        settings=lookup(dpath="contrast", within=config),
        code=code("scores.contrast", tables=("rq3_samplings",)),
    script:
        "../scripts/contrast_samplings.py"
