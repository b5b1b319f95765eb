"""The package's layout: what may import what, how long a module is, and how scripts begin."""

import ast
import functools
import graphlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.resources import GroupResources, Resources

from stepscope.study import digests
from support.workflow import ROOT, package_text, rule_texts, script_closure

SOURCE = ROOT / "workflow" / "src"
PACKAGE = SOURCE / "stepscope"
FACE = PACKAGE / "__init__.py"  # names what is public, wherever it is
# The folders, each with those it imports; a folder imports itself freely.
ARROWS = {
    "study": {"embedded"},
    "progress": set(),
    "models": set(),
    "embedded": {"models"},
    "diffusion": {"models"},
    "store": {"models", "diffusion"},
    "tracing": {"models", "diffusion", "store", "pictures"},
    "controls": {"models", "diffusion", "store", "tracing", "methods"},
    "pictures": {"models", "diffusion", "store"},
    "methods": {"diffusion", "models", "pictures", "store"},
    "scores": {"store", "methods", "pictures", "models", "diffusion"},
    "statistics": {"store", "scores"},
    "figures": {"statistics", "store", "pictures"},
    "provenance": {"study"},
    "estimate": {"models", "diffusion", "tracing", "pictures", "methods", "scores", "progress"},
}
# Modules beside the folders import none of them, and every folder may import them.
SHARED = {"allocator", "collector", "escapes", "joblog", "outputs", "plugins", "language"}
SHARED |= {"table_columns", "table_registry", "timesteps"}
BASE = {"allocator", "collector", "escapes", "table_columns"}  # of them, what the others import

LIGHT = {"yaml", "jsonschema"}  # what a Snakefile's imports may take beside the standard library
LINES = {"package.smk": 100, "study.smk": 100, "paths.smk": 100, "params.smk": 100}
LINES |= {"resources.smk": 100, "inputs.smk": 100, "datasets.smk": 100}
HEAD = """
import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk
"""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != FACE)
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))


def name_of(path: Path) -> str:
    """A path below the package, as a test's name."""
    return path.relative_to(ROOT / "workflow").as_posix()


def dotted(path: Path) -> str:
    """A module's name, from its path."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path) for path in MODULES}


@functools.cache
def imports(path: Path) -> list[tuple[str, list[str]]]:
    """(module, names taken from it) of every import of a file."""
    found = digests.imports(ast.parse(path.read_text(encoding="utf-8")))
    assert not any(base.startswith(".") for base, _ in found), "imports are absolute"
    return found


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports, by their dotted names."""
    modules = set()
    for base, names in imports(path):
        if base.partition(".")[0] == "stepscope":
            below = {f"{base}.{name}" for name in names} & NAMES
            modules |= below or {base}
    return modules


def part_of(module: str) -> str:
    """The folder of a module of the package, or the module beside the folders itself."""
    return module.split(".")[1] if "." in module else "the public face"


def third_party(path: Path) -> set[str]:
    """Names of top-level modules that a file imports and that come with other distributions."""
    tops = {base.partition(".")[0] for base, _ in imports(path)}
    return tops - set(sys.stdlib_module_names) - {"stepscope"}


def test_folders_and_modules_are_those_that_are_known():
    parts = {part_of(dotted(path)) for path in MODULES}
    assert parts == ARROWS.keys() | SHARED


@pytest.mark.parametrize("part", [*ARROWS, *sorted(SHARED)])
def test_imports_follow_the_arrows(part):
    allowed = ARROWS[part] | SHARED | {part} if part in ARROWS else BASE
    against = {
        f"{dotted(path)} imports {module}"
        for path in MODULES
        if part_of(dotted(path)) == part
        for module in imported_modules(path)
        if part_of(module) not in allowed
    }
    assert not against


def test_no_modules_import_each_other_in_a_circle():
    graph = {dotted(path): imported_modules(path) for path in MODULES}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises and names a circle
    assert set(order) >= NAMES


@pytest.mark.parametrize("path", [FACE, *MODULES, *SCRIPTS, *RULES], ids=name_of)
def test_files_are_short(path):
    limits = {"src": 250, "scripts": 30, "rules": LINES.get(path.name, 150)}
    limit = limits[path.relative_to(ROOT / "workflow").parts[0]]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name == "__init__.py"], ids=name_of
)
def test_folders_say_what_they_hold_and_nothing_else(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_what_a_snakefile_imports_is_light():
    parsed = [dotted(path) for path in MODULES if part_of(dotted(path)) in ("study", "progress")]
    # and all that they import: of the composed scenes only what is drawn before they are painted
    with_theirs = {SOURCE / path for path in digests.closure(parsed, package_text)}
    assert PACKAGE / "embedded" / "draws.py" in with_theirs
    # the Snakefile itself imports the registry of tables and what models are
    itself = {
        PACKAGE / "table_columns.py",
        PACKAGE / "table_registry.py",
        PACKAGE / "models" / "processes.py",
    }
    for path in {*with_theirs, *itself} - {FACE}:
        assert third_party(path) <= LIGHT, path
    # and what checks models, which asks for the hub's cache in jobs alone
    checks = digests.closure(["stepscope.models.checks"], package_text)
    assert set().union(*(third_party(SOURCE / path) for path in checks)) <= {"huggingface_hub"}


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_scripts_begin_alike(path):
    docstring, *below = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert docstring.startswith('"""')
    assert docstring.endswith('."""\n')
    assert "".join(below).startswith(HEAD)


# Model libraries cost seconds of every job that imports them; a script that is not here loads none.
LIBRARIES = {"torch", "diffusers", "transformers", "open_clip", "torchvision"}
PIPELINES = {"torch", "diffusers", "transformers"}
JUDGES = {"torch", "transformers"}
LOADED = dict.fromkeys(("generate", "decode", "explain", "play_games"), PIPELINES)
LOADED |= dict.fromkeys(
    ("measure_convergence", "measure_substrates", "measure_commitment", "contrast_samplings"),
    PIPELINES,
)
LOADED |= dict.fromkeys(
    ("measure_nulls", "measure_earliest", "explain_controls", "probe_activations"), PIPELINES
)
LOADED["play_head_games"] = PIPELINES
LOADED |= dict.fromkeys(("fetch_model", "estimate"), PIPELINES)
LOADED |= dict.fromkeys(("ground", "probe"), JUDGES)
LOADED |= dict.fromkeys(
    ("train_vae", "train_diffusion", "train_segmenter", "measure_world"), PIPELINES
)
LOADED |= dict.fromkeys(("train_clip", "assess_training"), PIPELINES | {"open_clip"})


def at_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """The imports that run when a file is imported: not those of functions or for types alone."""
    found: list[ast.stmt] = []
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                found.append(node)
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                found += at_import(node.orelse)
            case ast.If() | ast.Try() | ast.With():
                found += at_import(node.body)
    return found


def imported_at_once(path: Path, seen: set[Path]) -> set[str]:
    """All that a file imports at once, itself or by modules of the package, by dotted names."""
    seen.add(path)
    statements = at_import(ast.parse(path.read_text(encoding="utf-8")).body)
    found = set()
    for base, names in digests.imports(ast.Module(statements, [])):
        found |= {base, *(f"{base}.{name}" for name in names)}
        for module in {base, *(f"{base}.{name}" for name in names)} & NAMES:
            (place,) = (path for path in MODULES if dotted(path) == module)
            if place not in seen:
                found |= imported_at_once(place, seen)
    return found


def libraries(path: Path) -> set[str]:
    """Top-level names of all that a file imports at once."""
    return {name.partition(".")[0] for name in imported_at_once(path, set())}


# One class each of an encoder, a judge or a pipeline is tenths of a second in every job.
ALWAYS = {
    "transformers",
    "transformers.PreTrainedModel",  # diffusers imports it with its networks
}


@pytest.mark.parametrize("name", ["decode", "explain", "play_games", "probe", "ground"])
def test_scripts_import_classes_of_models_when_they_load_one(name):
    found = imported_at_once(ROOT / "workflow" / "scripts" / f"{name}.py", set())
    assert {each for each in found if each.startswith("transformers")} <= ALWAYS
    assert not any(each.startswith("diffusers.pipelines") for each in found)


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_scripts_load_no_model_library_that_they_do_not_need(path):
    assert libraries(path) & LIBRARIES <= LOADED.get(path.stem, set())


def test_the_libraries_of_scripts_are_found():
    (generate,) = (path for path in SCRIPTS if path.stem == "generate")
    (merge,) = (path for path in SCRIPTS if path.stem == "merge_table")
    assert libraries(generate) & LIBRARIES == PIPELINES
    assert {"pandas", "xarray"} <= libraries(merge)


def test_a_cluster_gives_a_card_to_each_rule_that_asks_for_one():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text("utf-8"))
    asking = {name for name, text in rule_texts().items() if "gpu=GPU" in text}
    assert asking > {"generate", "explain", "probe"}
    assert profile["set-resources"] == {name: {"gpu": 1} for name in asking}


def test_a_group_of_jobs_asks_a_cluster_for_two_cores_and_no_card():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text("utf-8"))
    limits = Resources.parse(profile["resources"], allow_expressions=False)
    assert profile["set-resource-scopes"] == [f"{name}=local" for name in limits]
    together = dict(text.split("=") for text in profile["group-components"])
    of_job = profile["default-resources"] | {"_cores": 1, "mem_mb": 1000, "runtime": 60}
    found = {}
    for rule, group in (text.split("=") for text in profile["groups"]):
        assert "gpu=GPU" not in rule_texts()[rule]
        jobs = [SimpleNamespace(resources=of_job, pipe_group=None)] * int(together[group])
        asked = GroupResources.basic_layered([jobs], limits, run_local=False)
        found[rule] = asked["_cores"], asked["runtime"]
    assert set(found.values()) == {(2, 4 * 60)}


@pytest.mark.parametrize("key", ["set-resources", "set-threads", "groups"])
def test_profiles_name_rules_that_there_are(key):
    for path in (ROOT / "profiles").glob("*/profile.yaml"):
        named = yaml.safe_load(path.read_text("utf-8")).get(key) or ()
        assert {name.partition("=")[0] for name in named} <= rule_texts().keys(), path


PLACED = {"stepscope/models/pipelines.py", "stepscope/models/judges.py"}  # they load onto a card


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_job_says_what_a_cluster_must_give_it(path):
    text = rule_texts()[path.stem]
    if "localrule: True" in text:
        return
    placed = PLACED & script_closure(path).keys()
    assert ("gpu=GPU" in text) == bool(placed)
    pipeline = "stepscope/models/pipelines.py" in placed
    assert ("mem=memory_of" in text) == pipeline  # which grows with the model
    assert "runtime=" in text
    assert "mem=" in text
