# Tables of the whole study from those of its batches, their summaries, and the paper's claims.
MERGED = [name for wanted in TARGETS.values() for name in wanted["tables"] + wanted["raw"]]
MERGED.remove("claims")


rule merge_table:
    input:
        parts_of,
    output:
        "<results>/tables/{table}.tsv",
    log:
        "<logs>/merge_table/{table}.log",
    wildcard_constraints:
        table=one_of(MERGED),
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="1GB",
        runtime="1h",
    params:
        code=code("tables"),
    script:
        "../scripts/merge_table.py"


rule summarise:
    input:
        "<results>/tables/{table}.tsv",
    output:
        "<results>/tables/{table}_summary.tsv",
    log:
        "<logs>/summarise/{table}.log",
    benchmark:
        "<benchmarks>/summarise/{table}.jsonl"
    wildcard_constraints:
        table=one_of(MERGED),
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        statistics=lookup(dpath="statistics", within=config),
        code=code("statistics"),
    script:
        "../scripts/summarise.py"


rule judge_claims:
    input:
        rq1_recovery="<results>/tables/rq1_recovery.tsv",
        rq1_saliency="<results>/tables/rq1_saliency.tsv",
        rq1_auc="<results>/tables/rq1_auc.tsv",
        rq2_relevance="<results>/tables/rq2_relevance.tsv",
        rq2_grounding="<results>/tables/rq2_grounding.tsv",
        rq3_emergence="<results>/tables/rq3_emergence.tsv",
    output:
        "<results>/tables/claims.tsv",
    log:
        "<logs>/judge_claims.log",
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        samplings=lookup(dpath="samplings", within=config),
        statistics=lookup(dpath="statistics", within=config),
        code=code("claims"),
    script:
        "../scripts/judge_claims.py"
