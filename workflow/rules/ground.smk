# Regions of words in the pictures, found by a segmenter or given with the dataset.


rule fetch_segmenter:
    output:
        "<results>/segmenter.json",
    log:
        "<logs>/fetch_segmenter.log",
    retries: 3
    localrule: True
    conda:
        "../../envs/generate.yaml"
    params:
        segmenter=config["ground"],
        code=code("fetching"),
    script:
        "../scripts/fetch_segmenter.py"


rule ground:
    input:
        traces="<traces>",
        previews="<previews>",
        fetched="<results>/segmenter.json" if "repo" in config["ground"] else [],
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
        code=code("masks"),
    script:
        "../scripts/ground.py"
