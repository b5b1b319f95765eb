# `snakemake` finds this file from the top of a clone; the workflow itself is in workflow/.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
