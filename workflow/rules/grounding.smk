# RQ2: how much each word (for RQ3: each role) matters, and whether a word's map finds its region.


rule score_relevance:
    input:
        traces="<traces>",
        maps=collect("<results>/maps/<batch>/{method}.zarr", method=methods_of, allow_missing=True),
    output:
        relevance="<results>/tables/parts/rq2_relevance/<batch>.tsv",
        roles="<results>/tables/parts/rq3_roles/<batch>.tsv",
    log:
        "<logs>/score_relevance/<batch>.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        code=code("scores.word_relevance", tables=("rq2_relevance", "rq3_roles")),
    script:
        "../scripts/score_relevance.py"


rule score_grounding:
    input:
        traces="<traces>",
        masks="<masks>",
        maps=collect("<results>/maps/<batch>/{method}.zarr", method=methods_of, allow_missing=True),
    output:
        grounding="<results>/tables/parts/rq2_grounding/<batch>.tsv",
        summed="<results>/tables/parts/rq2_summed/<batch>.tsv",
        information="<results>/tables/parts/rq2_information/<batch>.tsv",
    log:
        "<logs>/score_grounding/<batch>.log",
    benchmark:
        "<benchmarks>/score_grounding/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        seed=lookup(dpath="statistics/seed", within=config),
        code=code("scores.grounding", tables=("rq2_grounding", "rq2_summed", "rq2_information")),
    script:
        "../scripts/score_grounding.py"


COMPARED = ["rq2_agreement", "rq2_order", "rq2_regions", "rq2_interactions"]


# Do methods agree on words, in which order do these come, and what do two of them do together?
rule compare_words:
    input:
        traces="<traces>",
        masks="<masks>",
        maps=collect("<results>/maps/<batch>/{method}.zarr", method=methods_of, allow_missing=True),
    output:
        **{name: f"<results>/tables/parts/{name}/<batch>.tsv" for name in COMPARED},
    log:
        "<logs>/compare_words/<batch>.log",
    benchmark:
        "<benchmarks>/compare_words/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="8GB",
        runtime="1h",
    params:
        code=code("scores.word_comparison", tables=("rq2_relevance", *COMPARED)),
    script:
        "../scripts/compare_words.py"
