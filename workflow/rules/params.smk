# Parameters of rules: the smallest piece of the study that a job depends on.


def entry_at(keys, wildcards):
    """Keys with the wildcards put in, and the entry of the config that they lead to."""
    path = [key.format(**dict(wildcards.items())) if "{" in key else key for key in keys]
    entry = config
    for key in path:
        entry = entry[key]
    return path, entry


SPECS = {}


def spec(*keys):
    """A getter of a model's entry in the config, with the place of its folder and what is in it.

    The fingerprint makes new weights rerun what used the old ones.
    """

    def get(wildcards):
        path, entry = entry_at(keys, wildcards)
        if (name := tuple(path)) not in SPECS:  # thousands of jobs ask for the same
            SPECS[name] = with_folder(entry)
        return SPECS[name]

    return get


def with_folder(entry):
    """A model's entry with its folder's place and fingerprint, and the code of its family."""
    if "folder" in entry:
        folder = folder_at(entry["folder"])
        entry = entry | {"folder": str(folder), "fingerprint": digests.fingerprint(folder)}
    families = families_of(entry)
    return entry | {"family_code": [code_with(name) for name in families]} if families else entry


def families_of(entry):
    """Families that may cover a model: its own, or all while a model of the hub is not there."""
    if "family" in entry:
        return [entry["family"]]
    if "repo" in entry and "kind" not in entry:
        return list(FAMILIES.values())
    if "folder" not in entry:
        return []
    pipeline = model_files.pipeline_class(folder_at(entry["folder"]))
    return [FAMILIES[pipeline]] if pipeline in FAMILIES else []


def at_hand(wildcards):
    """Models by name, with the place of their folder where they have one."""
    return {name: with_folder(entry) for name, entry in config["models"].items()}


def method_entry(wildcards):
    """A method's entry without where it is used."""
    return PLAN.method_entry(wildcards.method)


def method_code(wildcards):
    """Digest of the code behind a method, and of the table that it may learn from."""
    entry = config["explain"][wildcards.method]
    learnt = digests.of_values(TABLES["rq2_heads"]) if "learnt_from" in entry else ""
    return code_with(entry["function"], "methods.explain") + learnt


def control_code(wildcards):
    """Digest of the code behind a method and its controls."""
    return code_with(config["explain"][wildcards.method]["function"], "controls.job")


def recipe(part):
    """A getter of one part of the training recipe, with what all parts share."""

    def get(wildcards):
        training = config["training"]
        if part not in training:
            raise WorkflowError(f"{STUDY_FILE}: training/{part}: the recipe is missing.")
        shared = {key: training[key] for key in ("seed", "checkpoint_minutes")}
        if part in ("quality", "clock"):  # nothing is trained
            return training[part] | {"seed": training["seed"]}
        read = {"quality": training["quality"]} if part == "diffusion" else {}
        return shared | training[part] | read

    return get


def judge_of(wildcards):
    """The CLIP of the probe, for a method that compares pictures by it; None for others."""
    return spec("probe", "model")(wildcards) if PLAN.is_judged(wildcards.method) else None
