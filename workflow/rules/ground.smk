# Regions of words in the pictures, found by a segmenter or given with the dataset.


rule ground:
    input:
        traces="<traces>",
        previews="<previews>",
        fetched=fetched("ground"),
    output:
        directory("<masks>"),
    log:
        "<logs>/ground/<batch>.log",
    benchmark:
        "<benchmarks>/ground/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem="4GB",
        runtime="1h",
    params:
        ground=spec("ground"),
        truth=true_masks,
        files=lambda wildcards: digests.masks(true_masks(wildcards)),
        code=code("pictures.ground"),
    script:
        "../scripts/ground.py"
