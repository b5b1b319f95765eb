# RQ3: which concepts a CLIP model and other readers see in each step's clean predictions, and when.


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
