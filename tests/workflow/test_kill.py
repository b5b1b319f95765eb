"""A generate job killed in three ways ends with the store of an uninterrupted run."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from support.stores import contents
from support.workflow import ROOT, Study, environment, job_of, new_study

STORE = "results/tiny/traces/tiny/long/uniform/0.zarr"
LOG = "results/tiny/logs/generate/tiny/long/uniform/0.log"
PARTS = 8


def lengthened(study: Study) -> Study:
    """One job of eight forward batches, long enough to be killed in the middle."""
    config = "config/config.yaml"
    study.edit(config, "pairs: {prompts: config/prompts.tsv}", "long: {prompts: config/long.tsv}")
    study.edit(config, "forward_batch: 2", "forward_batch: 1")
    study.edit(config, "uniform: {kind: uniform, steps: 4}", "uniform: {kind: uniform, steps: 40}")
    seeds = ",".join(map(str, range(PARTS)))
    table = f"prompt_id\tprompt\tseed\ncat\ta red cat\t{seeds}\n"
    (study.folder / "config" / "long.tsv").write_text(table)
    return study


@pytest.fixture
def study(fresh) -> Study:
    return lengthened(fresh)


def start(study: Study) -> subprocess.Popen:
    return subprocess.Popen(
        study.command(STORE),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def parts(study: Study) -> list[Path]:
    """Finished forward batches of a job that has not ended."""
    return list(study.folder.glob("results/tiny/.partial/*/*.npz"))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def made_again(study: Study) -> int:
    """Forward batches that the last job found missing."""
    return int(re.search(r"(\d+) of \d+ forward batches to make", log_of(study))[1])


def log_of(study: Study) -> str:
    """The job's log; Snakemake removes the last job's before the next begins."""
    path = study.folder / LOG
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def expected(models, tmp_path_factory):
    """The store of an uninterrupted run."""
    study = lengthened(new_study(tmp_path_factory.mktemp("whole") / "study", models))
    study.snakemake(STORE)
    assert made_again(study) == PARTS
    return contents(study.folder / STORE)


def kill_in_the_middle(study: Study, victim: str) -> psutil.Process:
    """Start the job, kill what ``victim`` names after three forward batches, return the job."""
    running = start(study)
    wait_for(lambda: len(parts(study)) >= 3)
    script = job_of(running)
    assert script.environ()["STEPSCOPE_SNAKEMAKE"] == str(running.pid)
    if victim == "job":
        script.kill()
    elif victim == "both":
        os.killpg(running.pid, signal.SIGKILL)
    else:
        script.suspend()  # the orphan must not end before the next run begins
        running.kill()
    running.wait()
    assert not (study.folder / STORE).exists()
    return script


def check(study: Study, expected: dict) -> None:
    assert contents(study.folder / STORE) == expected
    assert not parts(study)
    assert not list((study.folder / STORE).parent.glob(".*draft*"))


@pytest.mark.parametrize("victim", ["job", "both"])
def test_killed_job_makes_only_the_rest(study, expected, victim):
    kill_in_the_middle(study, victim)
    left = len(parts(study))
    if victim == "both":
        assert "LockException" in study.snakemake(STORE, fails=True)
        study.snakemake("--unlock")
    study.snakemake(STORE)
    assert made_again(study) == PARTS - left
    check(study, expected)


def test_what_is_no_store_is_not_deleted(fresh):
    mine = fresh.folder / STORE / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    printed = fresh.snakemake(STORE.replace("long", "pairs"), fails=True)
    assert f"{STORE}: this is no result of the workflow; move it away." in printed
    assert mine.read_text() == "mine"


def test_orphaned_job_is_waited_for(study, expected):
    orphan = kill_in_the_middle(study, "snakemake")
    study.snakemake("--unlock")
    again = start(study)
    wait_for(lambda: "waiting for" in log_of(study))
    orphan.resume()
    assert again.wait() == 0
    assert "was finished by another job" in log_of(study)
    check(study, expected)
