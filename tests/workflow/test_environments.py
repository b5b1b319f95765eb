"""What the workflow needs around it: light imports, and the hub of models."""

import json
import os
import shutil
import subprocess

import pytest

from support import workflow
from support.workflow import ROOT


def test_parsing_imports_no_science(fresh):
    """A Snakefile is parsed again in every cluster job."""
    fresh.edit("config/config.yaml", "study: tiny", "study: tiny # parsed")
    probe = fresh.folder / "probe.smk"
    probe.write_text(
        f'include: "{ROOT}/workflow/Snakefile"\n'
        "heavy = {'torch', 'pandas', 'xarray', 'zarr', 'diffusers'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy))\n"
    )
    fresh.snakefile = probe
    assert "heavy: []" in fresh.snakemake("--list-rules")


def test_a_model_of_the_hub_is_fetched_once_and_then_read_offline(fresh, tmp_path, monkeypatch):
    """Really through the hub's library: its cache is where HF_HOME says, in its own layout."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--acme--tiny" / "snapshots" / revision
    shutil.copytree(fresh.folder / "models" / "pipeline", snapshot)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    fresh.edit(
        "config/config.yaml",
        "tiny: {folder: models/pipeline}",
        f"tiny: {{repo: acme/tiny, revision: {revision}}}",
    )
    assert fresh.planned("rq1")["fetch_model"] == 1
    store = "results/tiny/traces/tiny/pairs/uniform/0.zarr"
    fresh.snakemake(store)
    record = json.loads(
        (fresh.folder / "results" / "tiny" / "fetched" / "models" / "tiny.json").read_text()
    )
    assert record["revision"] == revision
    assert "unet/diffusion_pytorch_model.safetensors" in record["sha256"]
    attrs = json.loads((fresh.folder / store / "zarr.json").read_text())["attributes"]
    assert attrs["model"]["revision"] == revision
    assert "Nothing to be done" in fresh.snakemake("--dry-run", store)


def test_jobs_are_offline_and_fetching_as_the_user_says(fresh, monkeypatch):
    monkeypatch.setattr(workflow, "environment", lambda: {**os.environ, "HF_HUB_OFFLINE": ""})
    probe = fresh.folder / "probe.smk"
    probe.write_text(
        f'include: "{ROOT}/workflow/Snakefile"\n'
        "names = ('HF_HUB_OFFLINE', 'STEPSCOPE_HUB_OFFLINE')\n"
        "print('offline:', *(os.environ[name] for name in names), sep='|')\n"
    )
    fresh.snakefile = probe
    assert "offline:|1|\n" in fresh.snakemake("--list-rules")


@pytest.mark.parametrize(
    ("name", "works"),
    [
        *((f"a{character}b", False) for character in " \t\n'\"`$&|;<>(){}*?\\:"),
        *((f"a{character}b", True) for character in "#%=,@+~!^é"),
        ("[ab]", True),
        ("-x", True),
    ],
)
def test_a_folder_in_which_no_job_can_run_is_refused_before_anything_is_installed(
    tmp_path, name, works
):
    """Each was tried, with a virtual environment in it and a job of the tiny study."""
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    command = ["make", "--silent", "setup", "PYTHON=echo installs; false"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode != 0
    assert ("installs" in done.stdout) == works
    assert ("the path of this folder has a blank or one of" in done.stderr) != works
    assert ("move or rename it" in done.stderr) != works
