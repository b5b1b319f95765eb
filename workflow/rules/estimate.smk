# What the targets still cost; without an output it runs whenever it is asked for.
ready("estimate.table")  # without an output it has no digest, for which files are fetched
# Of cores, cards and what else a user limits.
LIMITS = {name: resource.value for name, resource in workflow.global_resources.items()}


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
        clip=spec("probe", "model"),
        limits={name: n for name, n in LIMITS.items() if isinstance(n, int) and n > 0},
        kept=KEPT_ESTIMATES,
    script:
        "../scripts/estimate.py"
