"""A storm of kills over the stages of a tiny study; at the end every result is compared.

Each kill hits the job, Snakemake or both, with signal 9, 2 or 15, at a random moment of a job of
generate, decode, explain, play_games or probe; then Snakemake is started again. Counted are
forward batches that were finished and had to be made again, and files that differ from those of
an uninterrupted run. Both have to be 0.
"""

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from support import tiny, tiny_judges
from support.stores import contents
from support.workflow import ROOT, Study, environment, job_of, new_study

RESULTS = "results/tiny"
BATCH = "tiny/long/uniform/0"
STAGES = {
    "generate": [f"traces/{BATCH}.zarr"],
    "decode": [f"previews/{BATCH}.zarr"],
    "explain": [f"maps/{BATCH}/df_rise.zarr"],
    "play_games": [
        f"tables/parts/{name}/{BATCH}/df_rise.tsv" for name in ("rq1_auc", "rq1_curves")
    ],
    "probe": [f"tables/parts/{name}/{BATCH}.tsv" for name in ("rq3_concepts", "rq3_emergence")],
}
VICTIMS = ("job", "snakemake", "both")
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
BATCHES = 8


def make_study(folder: Path, models: Path) -> Study:
    """The tiny study with one job of eight forward batches, and a method of some seconds."""
    study, config = new_study(folder, models), "config/config.yaml"
    study.edit(config, "pairs: {prompts: config/prompts.tsv}", "long: {prompts: config/long.tsv}")
    study.edit(config, "forward_batch: 2", "forward_batch: 1")
    study.edit(config, "uniform: {kind: uniform, steps: 4}", "uniform: {kind: uniform, steps: 30}")
    seeds = ",".join(map(str, range(BATCHES)))
    table = f"prompt_id\tprompt\tseed\ncat\ta red cat\t{seeds}\n"
    (folder / "config" / "long.tsv").write_text(table)
    return study


def make_models(folder: Path) -> Path:
    """Tiny models with random weights."""
    tiny.tiny_sd1(folder / "pipeline")
    tiny_judges.tiny_clip(folder / "clip")
    tiny_judges.tiny_segmenter(folder / "segmenter")
    return folder


class Storm:
    """A study that is killed again and again."""

    def __init__(self, study: Study, expected: Study, seed: int) -> None:
        self.study, self.expected, self.random = study, expected, random.Random(seed)
        self.lost = self.hung = 0
        self.noted, self.begun = False, 0.0  # what the running job had to make, and since when
        self.wrong: list[str] = []
        self.finished: set[str] = set()  # forward batches that were seen
        self.kills: list[tuple[str, str, str]] = []

    def path(self, name: str) -> Path:
        return self.study.folder / RESULTS / name

    def start(self, stage: str) -> subprocess.Popen:
        targets = [f"{RESULTS}/{name}" for name in STAGES[stage]]
        return subprocess.Popen(
            self.study.command("--rerun-incomplete", "--", *targets),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def job(self, running: subprocess.Popen) -> psutil.Process | None:
        """The job's own process, once there is one; None if Snakemake ends before."""
        while running.poll() is None:
            if (job := job_of(running)) is not None:
                return job
            time.sleep(0.02)
        return None

    def duration(self, stage: str) -> float:
        """Seconds of a stage's job in a run that nobody interrupts."""
        running = self.start(stage)
        assert self.job(running) is not None, f"{stage} has nothing to do"
        begun = time.monotonic()
        assert running.wait() == 0, f"{stage} fails uninterrupted"
        return time.monotonic() - begun

    def strike(self, stage: str, victim: str, number: signal.Signals, seconds: float) -> bool:
        """Start a stage and kill; whether there was something to kill."""
        self.noted, self.begun = False, time.time()
        running = self.start(stage)
        job = self.job(running)
        deadline = time.monotonic() + self.random.uniform(0, 1.1 * seconds)
        while running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.look(stage)
        struck = running.poll() is None and job is not None
        if struck:
            kill(running, job, victim, number)
            self.kills.append((stage, victim, number.name))
        try:
            running.wait(120)
        except subprocess.TimeoutExpired:
            self.hung += 1
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        if job is not None and job.is_running() and self.random.random() < 0.5:
            psutil.wait_procs([job], timeout=120)  # an orphan that ends before the next run
        self.look(stage)
        if list(self.study.folder.glob(".snakemake/locks/*")):
            self.study.snakemake("--unlock")
        if running.returncode == 0:
            self.wrong += differing(self.study, self.expected, stage)
            self.forget(stage)
        return struck

    def rage(self, stage: str, until: int, seconds: float) -> None:
        """Kill in a stage until there were so many kills in all, then let it end."""
        plan = list(itertools.product(VICTIMS, SIGNALS))
        self.random.shuffle(plan)
        for victim, number in itertools.cycle(plan):
            if len(self.kills) >= until:
                break
            while not self.strike(stage, victim, number, seconds):
                pass
            wrong = len(self.wrong)
            print(len(self.kills), stage, victim, number.name, self.lost, wrong, flush=True)
        running = self.start(stage)
        assert running.wait() == 0, f"{stage} does not end"
        self.look(stage)

    def look(self, stage: str) -> None:
        """Note which forward batches are there, and which had to be made again."""
        if stage != "generate":
            return
        log = self.path(f"logs/generate/{BATCH}.log")
        begun = log.exists() and log.stat().st_mtime > self.begun  # not that of an earlier job
        found = re.search(r"(\d+) of \d+ forward batches", log.read_text() if begun else "")
        if found and not self.noted:
            self.noted = True
            self.lost += max(0, int(found[1]) - (BATCHES - len(self.finished)))
        store = self.path(STAGES[stage][0])
        if store.exists() or list(store.parent.glob(f".{store.name}.*.kept")):
            self.finished = set(map(str, range(BATCHES)))
        partial = self.path(".partial").glob("*/*.npz")
        self.finished |= {re.search(r"\.(\d+)\+", path.name)[1] for path in partial}

    def forget(self, stage: str) -> None:
        """Delete a stage's results with all that is kept of them, so that it can run again."""
        for name in STAGES[stage]:
            path = self.path(name)
            for found in [path, *path.parent.glob(f".{path.name}.*")]:
                shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
        if stage == "generate":
            shutil.rmtree(self.path(".partial"), ignore_errors=True)
            self.finished = set()


def kill(running: subprocess.Popen, job: psutil.Process, victim: str, number: int) -> None:
    """Send a signal to the job, to Snakemake alone, or to the whole group, as Ctrl-C does."""
    try:
        if victim == "job":
            job.send_signal(number)
        elif victim == "snakemake":
            running.send_signal(number)
        else:
            os.killpg(running.pid, number)
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass


def differing(study: Study, expected: Study, stage: str) -> list[str]:
    """Results that are not those of the uninterrupted run, and what should not be there."""
    wrong = []
    for name in STAGES[stage]:
        found, right = (each.folder / RESULTS / name for each in (study, expected))
        if not found.exists() or contents(found) != contents(right):
            wrong.append(name)
        wrong += map(str, found.parent.glob(f".{found.name}.*draft*"))
    return wrong


def rage(kills: int, seed: int, stages: list[str]) -> list[str]:
    """Run the storm, print what it did, and return what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(Path(folder, "models"))
        expected = make_study(Path(folder, "expected"), models)
        calm = Storm(expected, expected, seed)
        seconds = {stage: calm.duration(stage) for stage in stages}
        print("uninterrupted, seconds:", {name: round(each) for name, each in seconds.items()})
        storm = Storm(make_study(Path(folder, "storm"), models), expected, seed)
        for index, stage in enumerate(stages, 1):
            storm.rage(stage, kills * index // len(stages), seconds[stage])
        for stage in stages:
            storm.wrong += differing(storm.study, expected, stage)
    counts = [Counter(key[part] for key in storm.kills) for part in range(3)]
    print(*map(dict, counts), sep="\n")
    print(f"{len(storm.kills)} kills in runs of Snakemake, hung {storm.hung} times.", flush=True)
    lost = [f"{storm.lost} finished forward batches made again"] if storm.lost else []
    hung = [f"hung {storm.hung} times"] if storm.hung else []
    return [*lost, *storm.wrong, *hung]
