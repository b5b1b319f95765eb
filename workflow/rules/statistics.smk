# Tables of the whole study from those of its batches, their summaries, and the paper's claims.
TESTED = ["rq1_recovery", "rq1_saliency", "rq1_auc", "rq2_relevance", "rq2_grounding"]
TESTED += ["rq2_order", "rq2_regions", "rq3_clocks", *({"rq3_samplings"} & set(MADE))]
TESTED += ["rq3_clocks_null"]


rule merge_table:
    input:
        lambda wildcards: parts(wildcards.table),
    output:
        "<results>/tables/{table}.tsv",
    log:
        "<logs>/merge_table/{table}.log",
    wildcard_constraints:
        table=one_of([*TABLES, *PROBED]),
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="1GB",
        runtime="1h",
    params:
        code=code("store.tables"),
    script:
        "../scripts/merge_table.py"


rule summarise:
    input:
        lambda wildcards: parts(wildcards.table),
    output:
        "<results>/tables/{table}_summary.tsv",
    log:
        "<logs>/summarise/{table}.log",
    benchmark:
        "<benchmarks>/summarise/{table}.jsonl"
    wildcard_constraints:
        table=one_of(TABLES),
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        statistics=lookup(dpath="statistics", within=config),
        about=lambda wildcards: repr(TABLES[wildcards.table]),
        code=code("statistics.summaries", "store.tables"),
    script:
        "../scripts/summarise.py"


rule test_claims:
    input:
        **{name: parts(name) if name in TABLES else table(name) for name in TESTED},
    output:
        report(
            "<results>/tables/claims.tsv",
            caption="../report/claims.rst",
            category="Claims of the paper",
            labels={"table": "claims and their verdicts"},
        ),
    log:
        "<logs>/test_claims.log",
    benchmark:
        "<benchmarks>/test_claims.jsonl"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        samplings=lookup(dpath="samplings", within=config),
        statistics=lookup(dpath="statistics", within=config),
        code=code("statistics.claims", tables=tuple(TESTED)),
    script:
        "../scripts/test_claims.py"
