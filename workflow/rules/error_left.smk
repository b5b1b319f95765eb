# What is measured over all batches of a sampling: what share of the error each step leaves, where a
# study names steps by it, so that these are the same for all prompts; and the moments of the final
# latents, which are what one knows without a picture.


rule measure_error_left:
    input:
        of_all_batches("<traces>"),
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
        measured="error_left",
        code=code("scores.error_left"),
    script:
        "../scripts/measure_{params.measured}.py"


use rule measure_error_left as measure_moments with:
    output:
        "<moments>",
    log:
        "<logs>/measure_moments/{model}/{dataset}/{sampling}.log",
    params:
        measured="moments",
        code=code("scores.gaussian_null"),
