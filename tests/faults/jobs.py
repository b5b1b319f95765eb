"""A storm of SIGKILL over one job of every rule of a tiny study.

Each kill hits a job, or what stands for the Snakemake that started it, at a random moment; then the
job begins again, as Snakemake would begin it. At every kill results are whole or not there, what
was finished is not made again, and at the end results are those of the uninterrupted run.
"""

import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from faults import forks
from support.stores import contents
from support.workflow import Study

FOUND = "This was finished by another job"
MADE = re.compile(r"(\d+) of (\d+) forward batches to make")
AFTER = 1.1  # how much longer than it takes a job is waited for before a kill
FILES = Path(__file__).with_name("study")


def make_study(folder: Path, models: Path) -> Study:
    """A copy of the storm's study, with links to its models."""
    shutil.copytree(FILES, folder)
    (folder / "models").symlink_to(models)
    return Study(folder)


def one_of_each(study: Study, forked: forks.Forks) -> list[forks.Job]:
    """A job of every rule that writes, after an uninterrupted run of them all."""
    jobs = forked.snakemake(study, "all", "film", "rq1_convergence", "world_clock")
    made = ("results/made/scenes/scenes", "results/training/vae")
    jobs += forked.snakemake(
        study, "--configfile", str(study.folder / "config/made.yaml"), "--", *made
    )
    # by name, since the order in which jobs start is not that of every run
    ordered = sorted(jobs, key=lambda job: (job.rule, job.outputs))
    return list({job.rule: job for job in reversed(ordered) if job.outputs}.values())[::-1]


@dataclass
class Storm:
    """What kills did to the jobs of a study."""

    study: Study
    random: random.Random
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def rage(self, job: forks.Job, kills: int) -> float:
        """Kill a job so many times, and let it end; seconds that it takes uninterrupted."""
        places = [self.study.folder / name for name in job.outputs]
        right = [said(place) for place in places]
        others = self.others(places)
        seconds = self.uninterrupted(job, places)
        self.compare(job, places, right)
        done, attempts = 0, 0
        forget(self.study, places)
        while done < kills and attempts < 5 * kills:
            attempts += 1
            done += self.strike(job, places, right, seconds)
        self.uninterrupted(job, places)
        self.compare(job, places, right)
        if left := [
            path for place in places for path in place.parent.glob(f".{place.name}.*draft*")
        ]:
            self.wrong.append(f"{job.rule} leaves {left[0].name}")
        if self.others(places) != others:
            self.wrong.append(f"{job.rule} changes what others made")
        return seconds

    def uninterrupted(self, job: forks.Job, places: list[Path]) -> float:
        """Seconds of a job that nobody interrupts."""
        prepare(self.study, job, places)
        begun = time.monotonic()
        if status := forks.ended(forks.start(job, self.study.folder)):
            self.wrong.append(f"{job.rule} ends with {status}")
        return time.monotonic() - begun

    def strike(self, job: forks.Job, places: list[Path], right: list[dict], seconds: float) -> bool:
        """Start a job and kill it, or its Snakemake; whether there was something to kill."""
        prepare(self.study, job, places)
        before = parts_of(self.study)
        victim = self.random.choice(("job", "job", "snakemake"))
        starter = subprocess.Popen(["sleep", "600"])
        process = forks.start(job, self.study.folder, starter=starter.pid)
        running = psutil.Process(process)
        deadline = time.monotonic() + self.random.uniform(0, AFTER * seconds)
        while time.monotonic() < deadline and running.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.002)
        struck = running.status() != psutil.STATUS_ZOMBIE
        if struck and victim == "job":
            running.send_signal(signal.SIGKILL)
        starter.kill()
        starter.wait()
        status = forks.ended(process)
        self.kills[job.rule, victim] += struck
        if status not in (0, -signal.SIGKILL):
            self.wrong.append(f"{job.rule} ends with {status} after a kill of {victim}")
        self.look(job, before)
        for place, expected in zip(places, right, strict=True):
            if place.exists() and said(place) != expected:
                self.wrong.append(f"{job.rule}: {place.name} is torn after a kill of {victim}")
        if all(map(kept_of, places)):
            self.uninterrupted(job, places)
            self.lost[job.rule] += FOUND not in log_of(self.study, job)
            self.compare(job, places, right)
        if status == 0:
            forget(self.study, places)
        return struck

    def look(self, job: forks.Job, before: set[str]) -> None:
        """Count the finished forward batches that a job wanted to make again."""
        if found := MADE.search(log_of(self.study, job)):
            self.lost[job.rule] += max(0, int(found[1]) - (int(found[2]) - len(before)))

    def compare(self, job: forks.Job, places: list[Path], right: list[dict]) -> None:
        """Note results that are not those of the uninterrupted run."""
        for place, expected in zip(places, right, strict=True):
            if not place.exists() or said(place) != expected:
                self.wrong.append(f"{job.rule}: {place.name} is another")

    def others(self, places: list[Path]) -> dict[str, tuple[int, int]]:
        """State of every file of the results, but for those of a job."""
        results = self.study.folder / "results"
        return {
            str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in results.rglob("*")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(results).parts)
            and not {path, *path.parents}.intersection(places)
            and not {"logs", "state"} & set(path.parts)
        }


def prepare(study: Study, job: forks.Job, places: list[Path]) -> None:
    """Do what Snakemake does before a job: results and log of before go, folders come."""
    for place in places:
        remove(place)
    remove(study.folder / job.log)
    for path in (*places, study.folder / job.log):
        path.parent.mkdir(parents=True, exist_ok=True)


def forget(study: Study, places: list[Path]) -> None:
    """Delete results with all that is kept of them, so that a job makes them again."""
    for place in places:
        for path in (place, *place.parent.glob(f".{place.name}.*")):
            remove(path)
    for partial in study.folder.glob("results/*/.partial/*"):
        remove(partial)
    remove(study.folder / "results" / "training" / "state")


def said(result: Path) -> dict[str, object]:
    """What a result holds, but for the cards of trained models, which say how long they took."""
    found = contents(result)
    return {name: data for name, data in found.items() if name not in ("card.json", "README.md")}


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def kept_of(place: Path) -> bool:
    """Whether a finished result is kept under its second name."""
    return any(place.parent.glob(f".{place.name}.*.kept"))


def parts_of(study: Study) -> set[str]:
    """Finished forward batches that wait for the others."""
    return {path.name for path in study.folder.glob("results/*/.partial/*/*.npz")}


def log_of(study: Study, job: forks.Job) -> str:
    """What a job has said."""
    path = study.folder / job.log
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
