# The embedded models from scratch, into results/training/; copied to resources/models/ by hand.


rule train_vae:
    output:
        directory("results/training/vae"),
    log:
        "results/training/logs/train_vae.log",
    benchmark:
        "results/training/benchmarks/train_vae.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 2
    resources:
        mem="6GB",
        runtime="4h",
    params:
        state="results/training/state/vae",
        settings=recipe("vae"),
        code=code("embedded.training.vae"),
    script:
        "../scripts/train_vae.py"


rule train_diffusion:
    input:
        vae="results/training/vae",
    output:
        directory("results/training/pipeline"),
    log:
        "results/training/logs/train_diffusion.log",
    benchmark:
        "results/training/benchmarks/train_diffusion.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 2
    resources:
        mem="8GB",
        runtime="12h",
    params:
        state="results/training/state/diffusion",
        settings=recipe("diffusion"),
        code=code("embedded.training.diffusion"),
    script:
        "../scripts/train_diffusion.py"


rule train_clip:
    input:
        pipeline="results/training/pipeline",
    output:
        directory("results/training/clip"),
    log:
        "results/training/logs/train_clip.log",
    benchmark:
        "results/training/benchmarks/train_clip.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 2
    resources:
        mem="8GB",
        runtime="4h",
    params:
        state="results/training/state/clip",
        settings=recipe("clip"),
        code=code("embedded.training.clip"),
    script:
        "../scripts/train_clip.py"


rule train_segmenter:
    input:
        pipeline="results/training/pipeline",
    output:
        directory("results/training/segmenter"),
    log:
        "results/training/logs/train_segmenter.log",
    benchmark:
        "results/training/benchmarks/train_segmenter.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 2
    resources:
        mem="8GB",
        runtime="4h",
    params:
        state="results/training/state/segmenter",
        settings=recipe("segmenter"),
        code=code("embedded.training.segmenter"),
    script:
        "../scripts/train_segmenter.py"


rule assess_training:
    input:
        pipeline="results/training/pipeline",
        clip="results/training/clip",
        segmenter="results/training/segmenter",
    output:
        directory("results/training/quality"),
    log:
        "results/training/logs/assess_training.log",
    benchmark:
        "results/training/benchmarks/assess_training.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 2
    resources:
        mem="4GB",
        runtime="1h",
    params:
        settings=recipe("quality"),
        clock=recipe("clock"),
        code=code("embedded.training.quality"),
    script:
        "../scripts/assess_training.py"


rule train:
    input:
        rules.train_vae.output,
        rules.train_diffusion.output,
        rules.train_clip.output,
        rules.train_segmenter.output,
        rules.assess_training.output,
    localrule: True
