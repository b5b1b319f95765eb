"""The workflow as a module of another, from a folder and from a repository."""

import shutil
import subprocess
from pathlib import Path

from support.workflow import ROOT, Study

# Of rules from a hosted file Snakemake does not know the text, so that all have changed once for a
# study that was run from a folder; the digests of our own code are among the parameters.
TRIGGERS = ("--rerun-triggers", "mtime", "params", "input", "software-env")


def use_as_module(study: Study, snakefile: str) -> None:
    """Give a study a workflow of its own that takes all rules from ours, at a Python expression."""
    text = f"""
configfile: "config/config.yaml"

module stepscope:
    snakefile: {snakefile}
    config: config

use rule * from stepscope as stepscope_*
"""
    study.snakefile = study.folder / "Snakefile"
    study.snakefile.write_text(text)


def repository(folder: Path) -> str:
    """Put the working tree's workflow into a new git repository and return the commit."""
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ("git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "All")):
        subprocess.run([*git, *command], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


def check_a_summary_is_made_again(study: Study, *options: str) -> None:
    """Remove a summary: it alone is planned, and has the same bytes when it was run."""
    summary = study.folder / "results/tiny/tables/rq1_auc_summary.tsv"
    before = summary.read_bytes()
    summary.unlink()
    jobs = study.planned(*options, "--", "stepscope_all")
    assert jobs == {"stepscope_summarise": 1, "stepscope_all": 1}
    study.snakemake(*options, "--", "stepscope_all")
    assert summary.read_bytes() == before


def test_workflow_as_a_module_of_another(study):
    use_as_module(study, f'"{ROOT}/workflow/Snakefile"')
    check_a_summary_is_made_again(study)


def test_workflow_as_a_module_from_a_repository(study, tmp_path, monkeypatch):
    """Through Snakemake's own cache of hosted files; git is told to look into a folder instead."""
    commit = repository(tmp_path / "repository")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/repository.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/acme/stepscope")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)  # it would be part of the address
    place = f'"acme/stepscope", path="workflow/Snakefile", commit="{commit}"'
    use_as_module(study, f"github({place})")
    check_a_summary_is_made_again(study, *TRIGGERS)
