# Tables of the whole study from those of its batches, their summaries, and the paper's claims.
MERGED = [name for wanted in TARGETS.values() for name in wanted["tables"]]


rule merge_table:
    input:
        parts_of,
    output:
        "<results>/tables/{table}.{form}",
    log:
        "<logs>/merge_table/{table}.{form}.log",
    wildcard_constraints:
        table=one_of(MERGED),
        form="tsv|tsv[.]gz",
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
        table_of,
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
        rq1_recovery=table("rq1_recovery"),
        rq1_saliency=table("rq1_saliency"),
        rq1_auc=table("rq1_auc"),
        rq2_relevance=table("rq2_relevance"),
        rq2_grounding=table("rq2_grounding"),
        rq3_emergence=table("rq3_emergence"),
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
