# Saliency maps of one method on a batch's stored steps; the model is loaded once a job.


rule explain:
    input:
        traces="<traces>",
        masks=region_of,
        error_left=error_left_for("explain", "{method}"),
        heads=heads_of,
        moments=moments_of,
        fetched=record_of_judge,
    output:
        directory("<maps>"),
    log:
        "<logs>/explain/<batch>/{method}.log",
    benchmark:
        "<benchmarks>/explain/<batch>/{method}.jsonl"
    priority: longest_first
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        entry=method_entry,
        clip=judge_of,
        code=method_code,
    script:
        "../scripts/explain.py"
