# RQ1: negative controls. Maps of methods whose weights, prompt or latent are not their own, and what
# is left of the methods' own maps in them.
FIGURES["rq1_controls"] = ["rq1_controls"]
CONTROLS = target("rq1_controls") if config["controls"]["methods"] else []


def control_steps(wildcards):
    """The curve by which the controls or the method name steps, if one of them does."""
    of_controls = error_left_for("controls")(wildcards)
    return of_controls or error_left_for("explain", "{method}")(wildcards)


def control_code(wildcards):
    """Digest of the code behind a method and its controls."""
    return code_with(config["explain"][wildcards.method]["function"], "controls.job")


def controlled(pattern):
    """A getter of the stores of the methods whose controls are run on a job's sampling."""

    def get(wildcards):
        methods = PLAN.controlled_on(wildcards.sampling)
        return stores(pattern, [{"method": name} for name in methods], **dict(wildcards.items()))

    return get


rule explain_controls:
    input:
        traces="<traces>",
        masks=region_of,
        error_left=control_steps,
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
        kinds=lookup(dpath="controls/kinds", within=config),
        steps=lookup(dpath="controls/steps", within=config),
        samples=lookup(dpath="controls/samples", within=config),
        seed=lookup(dpath="controls/seed", within=config),
        code=control_code,
    script:
        "../scripts/explain_controls.py"


rule score_controls:
    input:
        maps=controlled("<maps>"),
        controls=controlled("<controls>"),
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
