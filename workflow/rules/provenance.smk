# What a finished study was made from, by what and when, as an RO-Crate beside its results.


rule provenance:
    input:
        rules.all.input,
    log:
        "<logs>/provenance.log",
    localrule: True
    conda:
        "../../envs/provenance.yaml"
    params:
        results=lambda wildcards: PATHVARS.apply("<results>"),
        snakefile=workflow.source_path("../Snakefile"),
        code=str(CODE),
        version=stepscope.__version__,
        config=config,
        models=models_at_hand,
        datasets=datasets_read,
        own=own_code,
        span=span,
    script:
        "../scripts/provenance.py"
