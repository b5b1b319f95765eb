# Scenes of the shipped models' world, with the exact mask of every word.


rule compose:
    output:
        directory("<scenes>"),
    log:
        "<logs>/compose/{dataset}.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="1GB",
        runtime="1h",
    params:
        entry=scenes_entry,
        code=code("embedded.composed"),
    script:
        "../scripts/compose.py"
