# What the targets still cost; without an output it runs whenever it is asked for.
ready("estimate.cost")  # without an output it has no digest, for which files are fetched


rule estimate:
    log:
        "<logs>/estimate.log",
    localrule: True
    conda:
        "../../envs/estimate.yaml"
    params:
        targets=["rq1", "rq2", "rq3", "all"],
        snakefile=str(workflow.main_snakefile),
        config=config,
        prompts=PROMPTS,
        models=at_hand,
        kept=KEPT_ESTIMATES,
    script:
        "../scripts/estimate.py"
