# Pictures of the clean predictions at every stored step, and of the final latents.


rule decode:
    input:
        "<traces>",
    output:
        directory("<previews>"),
    log:
        "<logs>/decode/<batch>.log",
    benchmark:
        "<benchmarks>/decode/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="2h",
    params:
        model=spec("models", "{model}"),
        side=lookup(dpath="probe/size", within=config),
        code=code("pictures.decode"),
    script:
        "../scripts/decode.py"
