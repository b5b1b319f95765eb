# RQ3: which concepts a CLIP model and other readers see in each step's clean predictions, and when.


def readers_of(wildcards):
    """Readers beside the CLIP that read a sampling, without where they are used."""
    return PLAN.readers_of(wildcards.sampling)


def reader_code(wildcards):
    """Digests of the code behind the readers of a sampling."""
    return [code_with(entry["function"]) for entry in readers_of(wildcards).values()]


rule probe:
    input:
        traces="<traces>",
        previews="<previews>",
        fetched=fetched("probe", "model"),
    output:
        concepts="<results>/tables/parts/rq3_concepts/<batch>.tsv",
        emergence="<results>/tables/parts/rq3_emergence/<batch>.tsv",
    log:
        "<logs>/probe/<batch>.log",
    benchmark:
        "<benchmarks>/probe/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem="4GB",
        runtime="2h",
    params:
        model=spec("probe", "model"),
        families=lookup(dpath="probe/families", within=config),
        readers=readers_of,
        reader_code=reader_code,
        code=code("scores.concepts", tables=("rq3_concepts", "rq3_emergence")),
    script:
        "../scripts/probe.py"
