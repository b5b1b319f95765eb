# The study: its checked config and prompts, what they ask for, and the closed sets of wildcards.
import re

import yaml

ready(
    "models.checks",
    "study.config",
    "study.control_checks",
    "study.method_checks",
    "study.model_files",
    "study.reader_checks",
    "study.region_checks",
    "study.datasets.published",
    "study.plan",
)  # what follows

from stepscope.models import checks as model_checks
from stepscope.study import config as study_config
from stepscope.study import control_checks, method_checks, model_files, reader_checks, region_checks
from stepscope.study.datasets import composed, published
from stepscope.study.plan import Plan

# The repository, for shipped models; of a remote module it is a URL, where no folder is found.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent.parent


def folder_at(folder):
    """A model's folder, sought under the working directory, then in this repository."""
    return Path(folder) if Path(folder).is_dir() else ROOT / folder


def checked_study():
    """File name of the study and its prompts; one sentence says what is wrong with them."""
    where = STUDY_FILES[-1] if STUDY_FILES else "config"
    with open(workflow.source_path("../schemas/config.schema.yaml")) as file:
        study_config.check(config, yaml.safe_load(file), where)
    explain, models = config["explain"], config["models"]
    method_checks.check_methods(explain, own_file, where)
    study_config.check_references(config, where)
    study_config.check_learning(config, where)
    study_config.check_families(config, where)
    readers = config["probe"]["readers"]
    reader_checks.check_concepts(config["probe"]["families"], where)
    reader_checks.check_readers(readers, own_file, where)
    if config["guidance"] <= 1:
        reason = f"guidance is {config['guidance']} and turns the second off"
        method_checks.check_guidance(explain, own_file, where, reason)
    model_files.check_families(models, own_file, where)
    study_config.check_folders(config, lambda folder: folder_at(folder).is_dir(), where, str(ROOT))
    model_checks.check_models(config, folder_at, where)
    for name, entry in models.items():
        if "folder" in entry and model_files.is_distilled(folder_at(entry["folder"])):
            reason = f"the model {name} is distilled and has only the first"
            method_checks.check_guidance(explain, own_file, where, reason)
    latents = {
        name: model_files.latent_of(folder_at(entry["folder"]), config["height"], config["width"])
        for name, entry in models.items()
        if "folder" in entry
    }
    model_files.check_latents(explain, latents, own_file, where)
    for entry in [*explain.values(), *readers.values()]:  # what no script imports by itself
        digests.closure([entry["function"].partition(":")[0]], own_file)
    kept = f"results/{config['study']}/.datasets"
    prompts = published.read_all(config["datasets"], kept, code("study.datasets.published"))
    study_config.check_pictures(config, prompts, where)
    control_checks.check_controls(config, prompts, where)
    sought = {
        name: records
        for name, records in prompts.items()
        if not composed.is_exact(config["datasets"][name])
    }
    region_checks.check_regions(config["ground"], sought, folder_at, where)
    return where, prompts


with one_sentence():
    STUDY_FILE, PROMPTS = checked_study()
PLAN = Plan(config, PROMPTS)
METHODS = list(config["explain"])
BASELINES = "baselines"  # stands for the maps of baselines, which need no store
for name in FAMILIES.values():
    digests.closure([name.partition(":")[0]], own_file)  # what no script imports by itself


def one_of(names):
    """Regular expression of a closed set: an unknown name then fails when the file is parsed."""
    return "|".join(map(re.escape, names))


wildcard_constraints:
    model=one_of(config["models"]),
    dataset=one_of(PROMPTS),
    sampling=one_of(config["samplings"]),
    batch=one_of(PLAN.batches()),
    method=one_of(METHODS),
    table="[a-z0-9_]+",
    figure="[a-z0-9_]+",
