# Shared by all rules: the checked study, closed sets of wildcards, and digests for exact reruns.
import functools
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
        "adapters.py",
        "attention.py",
        "attention_graph.py",
        "attention_probes.py",
        "autoencoder.py",
        "baselines.py",
        "benchmark.json",
        "bimodal.py",
        "claims.py",
        "coco.py",
        "concepts.py",
        "datasets.py",
        "decoding.py",
        "denoiser.py",
        "devices.py",
        "digests.py",
        "estimate.py",
        "explaining.py",
        "families.py",
        "family.py",
        "family_pixart.py",
        "family_sd3.py",
        "family_unet.py",
        "fetching.py",
        "figures_games.py",
        "figures_rq1.py",
        "figures_rq2.py",
        "figures_rq3.py",
        "findings.py",
        "folders.py",
        "foreign.py",
        "games.py",
        "generation.py",
        "geometry.py",
        "gradcam.py",
        "grounding.py",
        "imagefolder.py",
        "information.py",
        "inversion.py",
        "joblog.py",
        "judged.py",
        "judges.py",
        "masks.py",
        "measuring.py",
        "memory.py",
        "models.py",
        "muon.py",
        "perturbation.py",
        "pictures.py",
        "plainjson.py",
        "planted.py",
        "plotting.py",
        "plugins.py",
        "prediction.py",
        "quality.py",
        "readers.py",
        "recording.py",
        "recovery.py",
        "regions.py",
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
        "text_segmenter.py",
        "tracing.py",
        "train_clip.py",
        "train_diffusion.py",
        "train_segmenter.py",
        "train_vae.py",
        "training.py",
        "visual_genome.py",
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
# Kept for input functions: when they are called, `workflow` has those of the outermost workflow.
PATHVARS = workflow.pathvars

from stepscope import adapters, digests, study

# Tables and figures of each target; every table has a summary beside it.
TARGETS = {
    "rq1": {
        "tables": ["rq1_recovery", "rq1_saliency", "rq1_auc", "rq1_curves"],
        "figures": ["rq1_maps_over_time", "rq1_auc", "rq1_recovery"],
    },
    "rq2": {
        "tables": ["rq2_relevance", "rq2_grounding"],
        "figures": ["rq2_words"],
    },
    "rq3": {
        "tables": ["rq3_concepts", "rq3_emergence", "rq3_roles"],
        "figures": ["rq3_emergence", "rq3_samplings"],
    },
}


def target(name):
    """Files of a target: its tables with their summaries, and its figures as PDF and PNG."""
    wanted = TARGETS[name]
    tables = [table(each) for each in wanted["tables"]]
    summaries = [f"<results>/tables/{each}_summary.tsv" for each in wanted["tables"]]
    return [PATHVARS.apply(each) for each in tables + summaries] + expand(
        PATHVARS.apply("<figure>.{form}"), figure=wanted["figures"], form=["pdf", "png"]
    )


def table(name):
    """File of a table of the whole study; one of more than a million rows is compressed."""
    form = ".gz" if ROWS.get(name, 0) > 1_000_000 else ""
    return f"<results>/tables/{name}.tsv{form}"


def table_of(wildcards):
    """File of the table that a job is about."""
    return PATHVARS.apply(table(wildcards.table))


@functools.cache
def source(name):
    """Text of a package module; None if there is no such module."""
    path = PACKAGE.get(f"{name}.py")
    return Path(path).read_text(encoding="utf-8") if path else None


@functools.cache  # of thousands of jobs, each asks for its rule's
def code(*names):
    """Digest of package modules and all they import, so that editing them reruns their rules."""
    return digests.digest(list(names), source)


@functools.cache
def code_with(place, *names):
    """Digest as ``code``, with a module of the package or, by its file, one of the user's own."""
    if place.startswith("stepscope."):
        return code(*names, place.removeprefix("stepscope."))
    path = Path(*place.split(".")).with_suffix(".py")
    if not path.is_file():  # of an installed package, whose versions envs/ pins
        return code(*names)
    return digests.digest(
        [*names, place], lambda name: path.read_text() if name == place else source(name)
    )


def method_code(wildcards):
    """Digest of the code behind a method."""
    place = config["explain"][wildcards.method]["function"].partition(":")[0]
    return code_with(place, "explaining")


def one_of(names):
    """Regular expression of a closed set: an unknown name then fails when the file is parsed."""
    return "|".join(map(re.escape, names))


def batches(dataset=None):
    """Names of the batches of one dataset, or of all."""
    wanted = [dataset] if dataset else PROMPTS
    return sorted({batch for name in wanted for batch in IN_BATCH[name]})


def every(pattern, samplings=None, **extra):
    """A pattern expanded over all models, datasets, samplings and batches of the study."""
    pattern = PATHVARS.apply(pattern)
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


def used_on(sampling):
    """Methods that explain a sampling."""
    return [
        method
        for method, entry in config["explain"].items()
        if sampling in (entry["samplings"] or config["samplings"])
    ]


def is_played(method):
    """Whether a method has maps at any step that the games are played on."""
    own, played = config["explain"][method]["steps"], config["games"]["steps"]
    return not own or not played or not set(own).isdisjoint(played)


def methods_of(wildcards):
    """Methods that explain the sampling of a job."""
    return used_on(wildcards.sampling)


def parts_of(wildcards):
    """Tables of all batches that make up one table; of games, one a method on their samplings."""
    if wildcards.table not in ("rq1_auc", "rq1_curves"):
        return every("<part>", table=wildcards.table)
    pattern = "<results>/tables/parts/{table}/<batch>/{method}.tsv"
    return [
        path
        for sampling in config["games"]["samplings"] or config["samplings"]
        for method in [BASELINES, *filter(is_played, used_on(sampling))]
        for path in every(pattern, samplings=[sampling], table=wildcards.table, method=method)
    ]


def method_entry(wildcards):
    """A method's entry without where it is used: another sampling must not rerun this one."""
    entry = config["explain"][wildcards.method]
    return {key: value for key, value in entry.items() if key != "samplings"}


def region_of(wildcards):
    """The masks, for a method that asks for the objects' region (step.mask) by its parameters.

    A function, since lookup() searches the whole config for each of thousands of jobs.
    """
    entry = config["explain"][wildcards.method]
    wanted = "region" in (entry.get("score"), entry.get("target"))
    return PATHVARS.apply("<masks>") if wanted else []


@functools.cache
def weights_of(model):
    """Gigabytes of a model's files.

    One of the hub may not be there yet: it is given room for a T5 and a transformer in half
    precision, and `--set-resources` knows better.
    """
    entry = config["models"][model]
    if "repo" in entry:
        return 16
    return sum(path.stat().st_size for path in found(entry["folder"]).rglob("*.safetensors")) / 1e9


def memory_of(wildcards):
    """Memory of a job that loads a model: half precision may become float32, with room to work.

    Relevance of Stable Diffusion 1, 4.3 GB in float32, took 14.5 GB at 512 pixels.
    """
    return f"{6 + round(2 * weights_of(wildcards.model))}GB"


def longest_first(wildcards):
    """Priority of a method by its masks, so that the games do not wait for the slowest one."""
    return config["explain"][wildcards.method].get("masks", 0)


def prompts_in_batch(wildcards):
    """What generation needs of a batch's prompts: editing one prompt then reruns one batch."""
    wanted = ("prompt_id", "prompt", "seeds", "roles")
    rows = IN_BATCH[wildcards.dataset][wildcards.batch]
    records = [{key: row[key] for key in wanted} for row in rows]
    if config["datasets"][wildcards.dataset]["trace"] == "generate":
        return records
    pictures = [{"image": row["image"], "picture": digests.picture(row["image"])} for row in rows]
    return [record | picture for record, picture in zip(records, pictures)]


def true_masks(wildcards):
    """Folder of masks, or picture with boxes, of each prompt of a batch that has them."""
    if config["ground"]["kind"] != "masks":
        return {}
    rows = IN_BATCH[wildcards.dataset][wildcards.batch]
    return {row["prompt_id"]: row["masks"] for row in rows if row["masks"]}


def generation_of(wildcards):
    """Settings that generation depends on."""
    names = ("scheduler", "guidance", "negative_prompt", "height", "width", "storage")
    kind = config["datasets"][wildcards.dataset]["trace"]
    return {
        **{name: config[name] for name in names},
        "sampling": config["samplings"][wildcards.sampling],
        **({} if kind == "generate" else {"trace": kind}),
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
        record = PATHVARS.apply(f"<results>/fetched/{'/'.join(path)}.json")
        return record if "repo" in entry or "name" in entry else []

    return get


def found(folder):
    """A model's folder, sought under the working directory, then in this repository."""
    return Path(folder) if Path(folder).is_dir() else ROOT / folder


def spec(*keys):
    """A getter of a model's entry in the config, with the place of its folder and what is in it.

    The fingerprint makes new weights rerun what used the old ones.
    """

    def get(wildcards=None):
        path = [key.format(**dict(wildcards.items())) if wildcards else key for key in keys]
        entry = config
        for key in path:
            entry = entry[key]
        if "family" in entry:
            entry = entry | {"family_code": code_with(entry["family"].partition(":")[0])}
        if "folder" not in entry:
            return entry
        place = found(entry["folder"])
        return entry | {"folder": str(place), "fingerprint": digests.fingerprint(place)}

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
    """File name of the study and its prompts; one sentence says what is wrong with them."""
    names = [os.path.relpath(path) for path in workflow.configfiles]
    place = names[-1] if names else "config"
    try:
        with open(workflow.source_path("../schemas/config.schema.yaml")) as file:
            study.check(config, yaml.safe_load(file), place)
        study.check_methods(config["explain"], source, place)
        study.check_references(config, place)
        if config["guidance"] <= 1:
            reason = f"guidance is {config['guidance']} and turns the second off"
            study.check_guidance(config["explain"], source, place, reason)
        study.check_folders(config, lambda folder: found(folder).is_dir(), place, str(ROOT))
        for name, entry in config["models"].items():
            if "folder" in entry and study.is_distilled(found(entry["folder"])):
                reason = f"the model {name} is distilled and has only the first"
                study.check_guidance(config["explain"], source, place, reason)
        kept = f"results/{config['study']}/.datasets"
        prompts = adapters.read_all(config["datasets"], kept, code("adapters"))
        study.check_pictures(config, prompts, place)
        return place, prompts
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def in_batches(rows):
    """Rows by the name of their batch; a scan of all rows in every job would be quadratic."""
    found = {}
    for row in rows:
        found.setdefault(row["batch"], []).append(row)
    return found


STUDY_FILE, PROMPTS = checked_study()
ROWS = study.rows(config, PROMPTS)
IN_BATCH = {name: in_batches(rows) for name, rows in PROMPTS.items()}
METHODS = list(config["explain"])
BASELINES = "baselines"  # stands for the random and the centre map, which need no store
GPU = int(shutil.which("nvidia-smi") is not None)  # without a card, jobs may run side by side


wildcard_constraints:
    model=one_of(config["models"]),
    dataset=one_of(PROMPTS),
    sampling=one_of(config["samplings"]),
    batch=one_of(batches()),
    method=one_of(METHODS),
    table="[a-z0-9_]+",
    figure="[a-z0-9_]+",
