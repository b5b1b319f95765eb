# What figures show, and where the report shows them. The prompts are the first ones of each table,
# not chosen by how they look.
CATEGORIES = {
    "RQ1": "RQ1: what a step recovers",
    "RQ2": "RQ2: which words a step works on",
    "RQ3": "RQ3: which concept a step decides",
}


def figure(name, question, title):
    """A figure's file as an item of the report, with the caption that both its forms share."""
    stem, form = name.split(".")
    return report(
        f"<results>/figures/{name}",
        caption=f"../report/{stem}.rst",
        category=CATEGORIES[question],
        labels={"figure": title, "form": form.upper()},
    )


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
    pattern = PATHVARS.apply(pattern)
    return [path for record in records for path in expand(pattern, **record, **extra)]


def preferred(*names):
    """The first of these methods that the study has, otherwise its first method."""
    return next((name for name in names if name in METHODS), METHODS[0])


def first_sampling(method):
    """The first sampling that a method is used on."""
    return (config["explain"][method].get("samplings") or list(config["samplings"]))[:1]


# Methods whose maps are shown, and the samples they are shown for.
SHOWN_MAP = preferred("df_rise")
SHOWN_WORD_MAP = preferred("df_cam_word", "cross_attention", "relevance", "information")
SHOWN_RELEVANCE = preferred("relevance", "information")
OVER_TIME = pictured(4, first_sampling(SHOWN_MAP))
BY_WORD = pictured(3, first_sampling(SHOWN_WORD_MAP))
BY_SAMPLING = pictured(6, config["samplings"])
