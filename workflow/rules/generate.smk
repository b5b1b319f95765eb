# Pictures with tracing: one job a batch, the model loaded once.


rule generate:
    input:
        fetched("models", "{model}"),
        scenes_of,
    output:
        directory("<traces>"),
    log:
        "<logs>/generate/<batch>.log",
    benchmark:
        "<benchmarks>/generate/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="4h",
    params:
        model=spec("models", "{model}"),
        study=generation_of,
        prompts=prompts_in_batch,
        results=subpath(output[0], ancestor=5),
        code=generation_code,
    script:
        "../scripts/generate.py"
