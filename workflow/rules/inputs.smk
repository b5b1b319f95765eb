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


def moments_of(wildcards):
    """Moments of the final latents, for a method that explains the Gaussian null."""
    return PATHVARS.apply("<moments>") if PLAN.needs_moments(wildcards.method) else []


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


def reader_of(key):
    """A getter of the name and entry of the reader beside the CLIP that an entry asks for."""

    def get(wildcards):
        name = config[key]["reader"]
        return [name, config["probe"]["readers"][name]] if name else None

    return get


def reader_code_of(key):
    """A getter of the digest of the code behind it."""

    def get(wildcards):
        reader = reader_of(key)(wildcards)
        return code_with(reader[1]["function"]) if reader else ""

    return get


def of_all_batches(pattern):
    """A getter of the files of all batches of a model, dataset and sampling."""

    def get(wildcards):
        batches = [{"batch": batch} for batch in PLAN.batches(wildcards.dataset)]
        return stores(pattern, batches, **dict(wildcards.items()))

    return get


def truth(wildcards):
    """The clock of the composed world, shipped with the models that draw its scenes."""
    return str(folder_at(SHIPPED_CLOCK)) if OF_WORLD else []


def record_of_judge(wildcards):
    """The record of the CLIP, if it is fetched, for a method that compares pictures by it."""
    return fetched("probe", "model")(wildcards) if PLAN.is_judged(wildcards.method) else []
