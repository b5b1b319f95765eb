# Attention by head: what each finds, and what methods learn from it on other prompts.


rule score_heads:
    input:
        traces="<traces>",
        masks="<masks>",
        maps=maps_by_head,
    output:
        "<results>/tables/parts/rq2_heads/<batch>.tsv",
    log:
        "<logs>/score_heads/<batch>.log",
    benchmark:
        "<benchmarks>/score_heads/<batch>.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        code=code("scores.head_grounding", tables=("rq2_heads",)),
    script:
        "../scripts/score_heads.py"


use rule plot_rq1_maps_over_time as plot_rq2_grounding with:
    input:
        grounding=parts("rq2_grounding"),
        heads=parts("rq2_heads"),
    output:
        **figure("rq2_grounding", "grounding by step and resolution"),
    log:
        "<logs>/plot_rq2_grounding.log",
    benchmark:
        "<benchmarks>/plot_rq2_grounding.jsonl"
    params:
        figure="rq2_grounding",
        settings={"bootstrap": config["statistics"]},
        code=code("figures.rq2_grounding", "store.tables", tables=("rq2_grounding", "rq2_heads")),


use rule plot_rq1_maps_over_time as plot_rq2_heads with:
    input:
        table("rq2_heads"),
    output:
        **figure("rq2_heads", "heads that find a role"),
    log:
        "<logs>/plot_rq2_heads.log",
    benchmark:
        "<benchmarks>/plot_rq2_heads.jsonl"
    params:
        figure="rq2_heads",
        settings={},
        code=code("figures.rq2_heads", "store.tables", tables=("rq2_heads",)),


use rule plot_rq1_maps_over_time as plot_rq2_layers with:
    input:
        previews=stores("<previews>", BY_LAYER),
        masks=stores("<masks>", BY_LAYER),
        maps=stores("<maps>", BY_LAYER, method=SHOWN_LAYERS),
    output:
        **figure("rq2_layers", "maps by layer group and step"),
    log:
        "<logs>/plot_rq2_layers.log",
    benchmark:
        "<benchmarks>/plot_rq2_layers.jsonl"
    params:
        figure="rq2_layers",
        settings={"records": BY_LAYER, "method": SHOWN_LAYERS},
        code=code("figures.rq2_layers", "figures.samples"),
