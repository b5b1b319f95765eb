# What share of the error each step leaves, where a study names steps by it: one for all batches, so
# that a sampling's steps are the same for all prompts.

from stepscope.timesteps import shares


def traces_of_sampling(wildcards):
    """Traces of all batches of a model, dataset and sampling."""
    batches = [{"batch": batch} for batch in PLAN.batches(wildcards.dataset)]
    return stores("<traces>", batches, **dict(wildcards.items()))


def error_left_for(*keys):
    """A getter of the curve by which an entry of the config names steps; nothing if by numbers."""

    def get(wildcards):
        _, entry = entry_at(keys, wildcards)
        return PATHVARS.apply("<error_left>") if shares(entry["steps"]) else []

    return get


rule measure_error_left:
    input:
        traces_of_sampling,
    output:
        "<error_left>",
    log:
        "<logs>/measure_error_left/{model}/{dataset}/{sampling}.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        mem="2GB",
        runtime="1h",
    params:
        code=code("scores.error_left"),
    script:
        "../scripts/measure_error_left.py"
