# What share of the error each step leaves, where a study names steps by it: one for all batches, so
# that a sampling's steps are the same for all prompts.


rule measure_error_left:
    input:
        lambda wildcards: stores(
            "<traces>",
            [{"batch": batch} for batch in PLAN.batches(wildcards.dataset)],
            **dict(wildcards.items()),
        ),
    output:
        "<error_left>",
    log:
        "<logs>/measure_error_left/{model}/{dataset}/{sampling}.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="2GB",
        runtime="1h",
    params:
        code=code("scores.error_left"),
    script:
        "../scripts/measure_error_left.py"
