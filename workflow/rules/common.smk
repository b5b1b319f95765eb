# Shared by all rules: the checked study, closed sets of wildcards, and digests for exact reruns.
import os
import re
import shutil
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# Every file of the package, so that it also arrives when the workflow is used as a remote module.
PACKAGE = {
    name: workflow.source_path(f"../src/stepscope/{name}")
    for name in [
        "__init__.py",
        "attention.py",
        "attention_probes.py",
        "baselines.py",
        "benchmark.json",
        "bimodal.py",
        "claims.py",
        "concepts.py",
        "datasets.py",
        "decoding.py",
        "denoiser.py",
        "encoding.py",
        "estimate.py",
        "explaining.py",
        "fetching.py",
        "figures_games.py",
        "figures_rq1.py",
        "figures_rq2.py",
        "figures_rq3.py",
        "findings.py",
        "folders.py",
        "games.py",
        "generation.py",
        "geometry.py",
        "gradcam.py",
        "grounding.py",
        "information.py",
        "joblog.py",
        "judged.py",
        "masks.py",
        "memory.py",
        "models.py",
        "muon.py",
        "perturbation.py",
        "pictures.py",
        "planted.py",
        "plotting.py",
        "prediction.py",
        "quality.py",
        "readers.py",
        "recording.py",
        "recovery.py",
        "relevance.py",
        "saliency.py",
        "samplings.py",
        "scenes.py",
        "similarities.py",
        "sprites.py",
        "statistics.py",
        "store.py",
        "study.py",
        "style.mplstyle",
        "tables.py",
        "tracing.py",
        "train_clip.py",
        "train_diffusion.py",
        "train_segmenter.py",
        "train_vae.py",
        "training.py",
        "words.py",
        "writing.py",
    ]
}
SOURCE = str(Path(PACKAGE["__init__.py"]).parent.parent)
# The hub is asked by fetch_model alone, unless the user is offline; jobs load what it left behind.
os.environ.setdefault("STEPSCOPE_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "0"))
# For the scripts; PYTHONPATH is unset in conda jobs.
os.environ.update(STEPSCOPE=SOURCE, HF_HUB_OFFLINE="1")
sys.path.insert(0, SOURCE)
# The repository, for shipped models; of a remote module it is a URL, where no folder is found.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent.parent

from stepscope import datasets, study

# Tables and figures of each target; every table named in "tables" has a summary beside it.
TARGETS = {
    "rq1": {
        "tables": ["rq1_recovery", "rq1_saliency", "rq1_auc"],
        "raw": ["rq1_curves"],
        "figures": ["rq1_maps_over_time", "rq1_auc", "rq1_recovery"],
    },
    "rq2": {
        "tables": ["rq2_relevance", "rq2_grounding"],
        "raw": [],
        "figures": ["rq2_words"],
    },
    "rq3": {
        "tables": ["rq3_concepts", "rq3_emergence", "rq3_roles"],
        "raw": [],
        "figures": ["rq3_emergence", "rq3_samplings"],
    },
    "claims": {"tables": [], "raw": ["claims"], "figures": []},
}


def target(name):
    """Files of a target: its tables with their summaries, and its figures as PDF and PNG."""
    wanted = TARGETS[name]
    tables = wanted["tables"] + [f"{table}_summary" for table in wanted["tables"]] + wanted["raw"]
    return expand(workflow.pathvars.apply("<table>"), table=tables) + expand(
        workflow.pathvars.apply("<figure>.{form}"), figure=wanted["figures"], form=["pdf", "png"]
    )


def source(name):
    """Text of a package module; None if there is no such module."""
    path = PACKAGE.get(f"{name}.py")
    return Path(path).read_text(encoding="utf-8") if path else None


def code(*names):
    """Digest of package modules and all they import, so that editing them reruns their rules."""
    return study.digest(list(names), source)


def method_code(wildcards):
    """Digest of the code behind a method, for a user's own method of the file it is in."""
    place = config["explain"][wildcards.method]["function"].partition(":")[0]
    if place.startswith("stepscope."):
        return code("explaining", place.removeprefix("stepscope."))
    path = Path(*place.split(".")).with_suffix(".py")
    if not path.is_file():  # a method of an installed package, whose versions envs/ pins
        return code("explaining")
    return study.digest(
        ["explaining", place], lambda name: path.read_text() if name == place else source(name)
    )


def one_of(names):
    """Regular expression of a closed set: an unknown name then fails when the file is parsed."""
    return "|".join(map(re.escape, names))


def batches(dataset=None):
    """Names of the batches of one dataset, or of all."""
    rows = PROMPTS[dataset] if dataset else sum(PROMPTS.values(), [])
    return sorted({row["batch"] for row in rows})


def every(pattern, samplings=None, **extra):
    """A pattern expanded over all models, datasets, samplings and batches of the study."""
    pattern = workflow.pathvars.apply(pattern)
    return [
        path
        for dataset in PROMPTS
        for path in expand(
            pattern,
            model=config["models"],
            dataset=dataset,
            sampling=samplings or config["samplings"],
            batch=batches(dataset),
            **extra,
        )
    ]


def every_map(pattern="<maps>"):
    """A pattern expanded like ``every``, over the methods and the samplings each is used on."""
    return [
        path
        for method, entry in config["explain"].items()
        for path in every(pattern, samplings=entry["samplings"], method=method)
    ]


def methods_of(wildcards):
    """Methods that explain a sampling."""
    return [
        method
        for method, entry in config["explain"].items()
        if wildcards.sampling in (entry["samplings"] or config["samplings"])
    ]


def parts_of(wildcards):
    """Tables of all batches that make up one table; games are played on their samplings only."""
    played = wildcards.table in ("rq1_auc", "rq1_curves")
    samplings = config["games"]["samplings"] if played else None
    return every("<part>", samplings=samplings, table=wildcards.table)


def method_entry(wildcards):
    """A method's entry without where it is used: another sampling must not rerun this one."""
    entry = config["explain"][wildcards.method]
    return {key: value for key, value in entry.items() if key != "samplings"}


def prompts_in_batch(wildcards):
    """What generation needs of a batch's prompts: editing one prompt then reruns one batch."""
    wanted = ("prompt_id", "prompt", "seeds", "roles")
    return [
        {key: row[key] for key in wanted}
        for row in PROMPTS[wildcards.dataset]
        if row["batch"] == wildcards.batch
    ]


def mask_folders(wildcards):
    """Folder of true masks of each prompt of a batch that has one."""
    return {
        row["prompt_id"]: row["masks"]
        for row in PROMPTS[wildcards.dataset]
        if row["batch"] == wildcards.batch and row["masks"]
    }


def generation_of(wildcards):
    """Settings that generation depends on."""
    names = ("scheduler", "guidance", "negative_prompt", "height", "width", "storage")
    return {name: config[name] for name in names} | {
        "sampling": config["samplings"][wildcards.sampling]
    }


def fetched(*keys):
    """A getter of the record of a model fetched from the hub; nothing for one in a local folder.

    ``keys`` lead to the model's entry in the config, as in ``spec``.
    """

    def get(wildcards):
        path = [key.format(**dict(wildcards.items())) for key in keys]
        entry = config
        for key in path:
            entry = entry[key]
        record = workflow.pathvars.apply(f"<results>/fetched/{'/'.join(path)}.json")
        return record if "repo" in entry or "name" in entry else []

    return get


def spec(*keys):
    """A getter of a model's entry in the config, with the place of its folder and what is in it.

    The folder is sought under the working directory, then in this repository; the fingerprint makes
    new weights rerun what used the old ones.
    """

    def get(wildcards=None):
        path = [key.format(**dict(wildcards.items())) if wildcards else key for key in keys]
        entry = config
        for key in path:
            entry = entry[key]
        if "folder" not in entry:
            return entry
        folder = Path(entry["folder"])
        place = folder if folder.is_dir() else ROOT / folder
        if not place.is_dir():
            raise WorkflowError(
                f"{STUDY_FILE}: {'/'.join(path)}/folder: {folder} is no folder, "
                f"neither here nor in {ROOT}."
            )
        return entry | {"folder": str(place), "fingerprint": study.fingerprint(place)}

    return get


def at_hand(wildcards):
    """Models by name, with the place of their folder where they have one."""
    return {name: spec("models", name)() for name in config["models"]}


def recipe(part):
    """A getter of one part of the training recipe, with what all parts share."""

    def get(wildcards):
        training = config["training"]
        if part not in training:
            raise WorkflowError(f"{STUDY_FILE}: training/{part}: the recipe is missing.")
        shared = {key: training[key] for key in ("seed", "checkpoint_minutes")}
        if part == "quality":  # nothing is trained
            return training[part] | {"seed": training["seed"]}
        judged = {"quality": training["quality"]} if part == "diffusion" else {}
        return shared | training[part] | judged

    return get


def checked_study():
    """File name of the study and its prompt tables; one sentence says what is wrong with them."""
    names = [os.path.relpath(path) for path in workflow.configfiles]
    place = names[-1] if names else "config"
    try:
        with open(workflow.source_path("../schemas/config.schema.yaml")) as file:
            study.check(config, yaml.safe_load(file), place)
        study.check_methods(config["explain"], source, place)
        study.check_references(config, place)
        return place, {
            name: datasets.read(entry["prompts"], entry["batches"])
            for name, entry in config["datasets"].items()
        }
    except ValueError as error:
        raise WorkflowError(str(error)) from None


STUDY_FILE, PROMPTS = checked_study()
METHODS = list(config["explain"])
GPU = int(shutil.which("nvidia-smi") is not None)  # without a card, jobs may run side by side


wildcard_constraints:
    model=one_of(config["models"]),
    dataset=one_of(PROMPTS),
    sampling=one_of(config["samplings"]),
    batch=one_of(batches()),
    method=one_of(METHODS),
    table="[a-z0-9_]+",
    figure="[a-z0-9_]+",
