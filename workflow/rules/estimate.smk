# What the targets still cost, printed before any model works.


rule estimate:
    output:
        temp("<results>/estimate.txt"),
    log:
        "<logs>/estimate.log",
    conda:
        "../../envs/generate.yaml"
    localrule: True
    params:
        targets=["rq1", "rq2", "rq3", "all"],
        snakefile=str(workflow.main_snakefile),
        config=config,
        prompts=PROMPTS,
        models=at_hand,
    script:
        "../scripts/estimate.py"
