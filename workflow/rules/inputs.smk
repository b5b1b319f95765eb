# What single jobs read beside their own batch: functions of wildcards.


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


def error_left_for(*keys):
    """A getter of the curve by which an entry of the config names steps; nothing if by numbers."""

    def get(wildcards):
        steps = entry_at(keys, wildcards)[1]["steps"]
        return PATHVARS.apply("<error_left>") if isinstance(steps, dict) else []

    return get


def readers_of(wildcards):
    """Readers beside the CLIP that read a sampling, without where they are used."""
    return PLAN.readers_of(wildcards.sampling)


def reader_code(wildcards):
    """Digests of the code behind the readers of a sampling."""
    return [code_with(entry["function"]) for entry in readers_of(wildcards).values()]


def stores_compared(pattern):
    """A getter of the stores of a batch under the uniform and the exponential samplings."""

    def get(wildcards):
        names = [wildcards.sampling, *PLAN.contrasted[wildcards.sampling]]
        units = [dict(wildcards.items()) | {"sampling": name} for name in names]
        return stores(pattern, units)

    return get


def samplings_compared(wildcards):
    """Entries of the samplings that are compared, the uniform one first."""
    names = [wildcards.sampling, *PLAN.contrasted[wildcards.sampling]]
    return {name: config["samplings"][name] for name in names}


def reader_compared(wildcards):
    """Name and entry of what reads the pictures beside the CLIP; none without."""
    name = config["contrast"]["reader"]
    return [name, config["probe"]["readers"][name]] if name else None


def reader_compared_code(wildcards):
    """Digest of the code behind it."""
    reader = reader_compared(wildcards)
    return code_with(reader[1]["function"]) if reader else ""


def truth(wildcards):
    """The world's clock, if the target `world_clock` has made it."""
    path = table("world_clock_families")
    return path if OF_WORLD and Path(path).exists() else []


def record_of_judge(wildcards):
    """The record of the CLIP, if it is fetched, for a method that compares pictures by it."""
    return fetched("probe", "model")(wildcards) if PLAN.is_judged(wildcards.method) else []
