"""A generate job killed in three ways ends with the store of an uninterrupted run."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from conftest import ROOT, Study, environment

STORE = "results/tiny/traces/tiny/long/uniform/0.zarr"
LOG = "results/tiny/logs/generate/tiny/long/uniform/0.log"
PARTS = 8


@pytest.fixture
def long(fresh) -> Study:
    """One job of eight forward batches, long enough to be killed in the middle."""
    fresh.edit(
        "config/config.yaml",
        "pairs: {prompts: config/prompts.tsv}",
        "long: {prompts: config/long.tsv}",
    )
    fresh.edit("config/config.yaml", "forward_batch: 2", "forward_batch: 1")
    fresh.edit(
        "config/config.yaml",
        "uniform: {kind: uniform, steps: 4}",
        "uniform: {kind: uniform, steps: 60}",
    )
    seeds = ",".join(map(str, range(PARTS)))
    table = f"prompt_id\tprompt\tseed\ncat\ta red cat\t{seeds}\n"
    (fresh.folder / "config" / "long.tsv").write_text(table)
    return fresh


def contents(study: Study) -> dict[str, object]:
    """Bytes of every chunk, and the metadata but for the time of creation."""
    store = study.folder / STORE
    found = {}
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store).as_posix()
        if path.is_file() and path.name != ".snakemake_timestamp":
            found[name] = path.read_bytes()
    root = json.loads(found.pop("zarr.json"))
    del root["attributes"]["created"]
    return {**found, "zarr.json": root}


def start(study: Study) -> subprocess.Popen:
    return subprocess.Popen(
        study.command(STORE),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_parts(study: Study, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(study.folder.glob("results/tiny/.partial/*.npz"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def script_of(process: subprocess.Popen) -> psutil.Process:
    """The job's own Python among Snakemake's descendants."""
    (found,) = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if Path(child.name()).name.startswith("python")
        and any(".snakemake/scripts/" in argument for argument in child.cmdline())
    ]
    return found


def made_again(study: Study) -> int:
    """Forward batches that the last job found missing."""
    log = (study.folder / LOG).read_text()
    return int(re.search(r"(\d+) of \d+ forward batches to make", log)[1])


@pytest.fixture(scope="module")
def expected(models, tmp_path_factory):
    """The store of an uninterrupted run."""
    return {}


@pytest.mark.parametrize("victim", ["job", "both", "snakemake"])
def test_killed(long, expected, victim):
    if not expected:
        whole = long.copy(long.folder.with_name("whole"))
        whole.snakemake(STORE)
        assert made_again(whole) == PARTS
        expected.update(contents(whole))
    running = start(long)
    wait_for_parts(long, 3)
    script = script_of(running)
    if victim == "job":
        script.kill()
    elif victim == "both":
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.wait()
    assert not (long.folder / STORE).exists()
    left = len(list(long.folder.glob("results/tiny/.partial/*.npz")))
    if victim != "job":
        assert "LockException" in long.snakemake(STORE, fails=True)
        long.snakemake("--unlock")
    if victim == "snakemake":
        assert script.is_running()
    long.snakemake(STORE)
    if victim == "snakemake":
        assert "was completed by another job" in (long.folder / LOG).read_text()
    else:
        assert made_again(long) <= PARTS - left
    assert contents(long) == expected
    assert not list(long.folder.glob("results/tiny/.partial/*.npz"))
