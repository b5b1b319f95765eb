# Regions of words in the pictures, found by a segmenter or given with the dataset.


rule ground:
    input:
        traces="<traces>",
        previews="<previews>",
        fetched=fetched("ground"),
        scenes=scenes_of,
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
        ground=ground_of,
        truth=true_masks,
        files=mask_files,
        code=code("pictures.ground"),
    script:
        "../scripts/ground.py"
