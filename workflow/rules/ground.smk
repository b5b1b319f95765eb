# Regions of words in the pictures, found by a segmenter or read from the dataset's mask files.


rule ground:
    input:
        traces="<traces>",
        previews="<previews>",
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
        ground=spec("ground") if config["ground"]["kind"] == "segmenter" else {"kind": "masks"},
        folders=mask_folders,
        code=code("masks"),
    script:
        "../scripts/ground.py"
