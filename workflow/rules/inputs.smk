# What methods learn from, and the maps by head that it is made of.


def maps_by_head(wildcards):
    """Stores of the methods with maps by head on the sampling of a job."""
    unit = dict(wildcards.items())
    return [
        path
        for method in PLAN.by_head(wildcards.sampling)
        for path in expand(PATHVARS.apply("<maps>"), **unit, method=method)
    ]


def heads_of(wildcards):
    """The part of rq2_heads, for a method that learns from it; nothing for others."""
    learns = PLAN.learns(wildcards.method)
    return PATHVARS.apply("<part>").replace("{table}", "rq2_heads") if learns else []
