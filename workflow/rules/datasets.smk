# Parameters of rules, of what datasets bring: prompts, pictures and masks.


def prompts_in_batch(wildcards):
    """What generation needs of a batch's prompts, with digests of the pictures they name."""
    records = PLAN.prompts_in_batch(wildcards.dataset, wildcards.batch)
    if PLAN.is_exact(wildcards.dataset):  # the pictures may be yet to be composed
        return [record | {"picture": COMPOSED} for record in records]
    return [
        record | {"picture": digests.picture(record["image"])} if "image" in record else record
        for record in records
    ]


def generation_of(wildcards):
    """Settings that a job's traces depend on."""
    return PLAN.generation_of(wildcards.dataset, wildcards.sampling)


def generation_code(wildcards):
    """Digest of the code that traces a dataset: pictures take the denoiser, prompts do not."""
    pictures = [] if PLAN.generates(wildcards.dataset) else ["tracing.real_pictures"]
    return code("tracing.generate", "tracing.call", *pictures)


def scenes_of(wildcards):
    """The composed scenes of a dataset that traces them as they are."""
    return PATHVARS.apply("<scenes>") if PLAN.is_exact(wildcards.dataset) else []


def scenes_entry(wildcards):
    """How many scenes a dataset has, and by which seed they are drawn."""
    entry = config["datasets"][wildcards.dataset]
    return {"scenes": entry["scenes"], "seed": entry.get("seed", 0)}


def ground_of(wildcards):
    """Where a dataset's masks are from: its own if they are exact, otherwise the study's entry."""
    return {"kind": "exact"} if PLAN.is_exact(wildcards.dataset) else spec("ground")(wildcards)


def true_masks(wildcards):
    """Folder of masks, or picture with boxes, of each prompt of a batch that has them."""
    return PLAN.true_masks(wildcards.dataset, wildcards.batch)


def mask_files(wildcards):
    """Digest of what true masks are made from."""
    return COMPOSED if PLAN.is_exact(wildcards.dataset) else digests.masks(true_masks(wildcards))


def samples_filmed(wildcards):
    """Records of the samples that a film shows, as the figures show the first of each table."""
    return [
        record
        for record in PLAN.pictured(4, [wildcards.sampling])
        if (record["model"], record["dataset"]) == (wildcards.model, wildcards.dataset)
    ]


def filmed(pattern):
    """A getter of the store of each sample that a film shows."""

    def get(wildcards):
        return stores(pattern, samples_filmed(wildcards), method=wildcards.method)

    return get


# Digest of the code that composes scenes: what their pictures and masks are, beside their names.
COMPOSED = code("embedded.composed")
