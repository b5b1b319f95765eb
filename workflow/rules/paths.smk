# Files: of targets and tables, of all batches, of what figures show.
# Kept for input functions: when they are called, `workflow` has those of the outermost workflow.
PATHVARS = workflow.pathvars
FIGURES = {
    "rq1": ["rq1_maps_over_time", "rq1_auc", "rq1_recovery", "rq1_sensitivity"],
    "rq1_convergence": ["rq1_convergence"],
    "rq2": ["rq2_words", "rq2_agreement", "rq2_grounding", "rq2_heads", "rq2_layers"],
    "rq3": ["rq3_emergence", "rq3_samplings", "rq3_clocks", "rq3_commitment", "rq3_filmstrip"],
}
FIGURES["rq3"].append("rq3_probes")
EMERGING = ("rq3_concepts", "rq3_emergence")  # what figures of emergence are drawn from
PROBED = ("rq3_probes", "rq3_probes_summary")  # of all batches of a sampling together
CATEGORIES = {
    "rq1": "RQ1: what a step recovers",
    "rq2": "RQ2: which words a step works on",
    "rq3": "RQ3: which concept a step decides",
    "world": "World: when a noised latent holds a concept",
    "claims": "Claims of the paper",
}


def target(question):
    """Files of a target: its tables with their summaries, and its figures as PDF and PNG."""
    names = [name for name in MADE if TABLES[name].question == question]
    names += ["rq3_clocks", "rq3_probes"] if question == "rq3" else []
    return [
        *(table(name) for name in [*names, *(f"{name}_summary" for name in names)]),
        *expand(PATHVARS.apply("<figure>.{form}"), figure=FIGURES[question], form=["pdf", "png"]),
    ]


def table(name):
    """File of a table of the whole study."""
    return PATHVARS.apply(f"<results>/tables/{name}.tsv")


def figure(name, title):
    """A figure's two files as items of the report, with the caption that both share."""
    return {
        form: report(
            f"<results>/figures/{name}.{form}",
            caption=f"../report/{name}.rst",
            category=CATEGORIES[name.partition("_")[0]],
            labels={"figure": title, "form": form.upper()},
        )
        for form in ("pdf", "png")
    }


def stores(pattern, records, **wildcards):
    """The store of each record, in their order."""
    pattern = PATHVARS.apply(pattern)
    return [pattern.format(**record, **wildcards) for record in records]


def parts(name):
    """Tables of all batches that make up one table; of games, one a method on their samplings."""
    if name in ("rq1_auc", "rq1_curves"):
        pattern = "<results>/tables/parts/{table}/<batch>/{method}.tsv"
        return stores(pattern, PLAN.games(BASELINES), table=name)
    units = PLAN.contrasts() if name == "rq3_samplings" else PLAN.units(PLAN.measured_on(name))
    if name in PROBED:
        pattern = "<results>/tables/parts/{table}/{model}/{dataset}/{sampling}.tsv"
        return list(dict.fromkeys(stores(pattern, units, table=name)))
    return stores("<part>", units, table=name)


def foreign_stores():
    """What is in the places of stores and is none; Snakemake would delete it."""
    results = Path(PATHVARS.apply("<results>"))
    found = [*results.glob("*/*/*/*/*.zarr"), *results.glob("*/*/*/*/*/*.zarr")]
    return [path for path in found if not path.name.startswith(".") and is_foreign(path)]


def methods_of(wildcards):
    """Methods that explain the sampling of a job."""
    return PLAN.used_on(wildcards.sampling)


def region_of(wildcards):
    """The masks, for a method that asks for the objects' region."""
    return PATHVARS.apply("<masks>") if PLAN.needs_masks(wildcards.method) else []


def fetched(*keys):
    """A getter of the record of a model fetched from the hub; nothing for one in a local folder.

    ``keys`` lead to the model's entry in the config, as in ``spec``.
    """

    def get(wildcards):
        path, entry = entry_at(keys, wildcards)
        record = PATHVARS.apply(f"<results>/fetched/{'/'.join(path)}.json")
        return record if "repo" in entry or "name" in entry else []

    return get
