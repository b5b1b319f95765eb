# What the picture figures show: the first prompts of each table, not chosen by how they look.


def pictured(prompts, samplings):
    """Records of the first prompts of each dataset, with their first seed, per model and sampling."""
    return [
        {
            "model": model,
            "dataset": dataset,
            "sampling": sampling,
            "batch": row["batch"],
            "prompt_id": row["prompt_id"],
            "prompt": row["prompt"],
            "seed": row["seeds"][0],
        }
        for model in config["models"]
        for dataset, rows in PROMPTS.items()
        for row in rows[:prompts]
        for sampling in samplings
    ]


def stores(pattern, records, **extra):
    """The store of each record, in their order."""
    pattern = workflow.pathvars.apply(pattern)
    return [path for record in records for path in expand(pattern, **record, **extra)]


def preferred(*names):
    """The first of these methods that the study has, otherwise its first method."""
    return next((name for name in names if name in METHODS), METHODS[0])


def first_sampling(method):
    """The first sampling that a method is used on."""
    return (config["explain"][method].get("samplings") or list(config["samplings"]))[:1]
