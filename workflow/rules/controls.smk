# RQ1: negative controls. Maps of methods whose weights, prompt or latent are not their own, and what
# is left of the methods' own maps in them.
FIGURES["rq1_controls"] = ["rq1_controls"]
CONTROLS = target("rq1_controls") if config["controls"]["methods"] else []


rule explain_controls:
    input:
        traces="<traces>",
        masks=region_of,
        error_left=error_left_for("controls"),
        explained=error_left_for("explain", "{method}"),
        fetched=record_of_judge,
    output:
        directory("<controls>"),
    log:
        "<logs>/explain_controls/<batch>/{method}.log",
    benchmark:
        "<benchmarks>/explain_controls/<batch>/{method}.jsonl"
    priority: longest_first
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="8h",
    params:
        model=spec("models", "{model}"),
        entry=method_entry,
        clip=judge_of,
        kinds=lookup(dpath="controls/kinds", within=config),
        steps=lookup(dpath="controls/steps", within=config),
        samples=lookup(dpath="controls/samples", within=config),
        seed=lookup(dpath="controls/seed", within=config),
        code=control_code,
    script:
        "../scripts/explain_controls.py"


rule score_controls:
    input:
        maps=collect(
            "<results>/maps/<batch>/{method}.zarr",
            method=lambda wildcards: PLAN.controlled_on(wildcards.sampling),
            allow_missing=True,
        ),
        controls=collect(
            "<results>/controls/<batch>/{method}.zarr",
            method=lambda wildcards: PLAN.controlled_on(wildcards.sampling),
            allow_missing=True,
        ),
    output:
        "<results>/tables/parts/rq1_controls/<batch>.tsv",
    log:
        "<logs>/score_controls/<batch>.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="4GB",
        runtime="1h",
    params:
        code=code("scores.controls", tables=("rq1_controls",)),
    script:
        "../scripts/score_controls.py"


use rule plot_rq1_maps_over_time as plot_rq1_controls with:
    input:
        table("rq1_controls"),
    output:
        **figure("rq1_controls", "maps under negative controls"),
    log:
        "<logs>/plot_rq1_controls.log",
    benchmark:
        "<benchmarks>/plot_rq1_controls.jsonl"
    params:
        figure="rq1_controls",
        settings={"controls": config["controls"], "bootstrap": config["statistics"]},
        code=code("figures.controls", "store.tables", tables=("rq1_controls",)),
