"""A job of every rule under one fault: it ends well or in one sentence, and well the next time.

A full disk is a small tmpfs, which needs root; the other faults are set in the job's own process.
"""

import os
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faults import forks
from faults.jobs import forget, log_of, prepare, said
from stepscope.joblog import FAILED
from support.workflow import Study

NOWHERE = "/dev/null/nowhere"  # no folder can be made there, by root either
LINES = 1  # of the terminal, of a job that failed


def no_home() -> None:
    """Take HOME away, and with it what libraries keep there."""
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR"):
        os.environ.pop(name, None)


def closed_home() -> None:
    """Set a HOME in which nothing can be written."""
    no_home()
    os.environ["HOME"] = NOWHERE


def closed_tmpdir() -> None:
    """Set a TMPDIR in which nothing can be written."""
    os.environ["TMPDIR"] = NOWHERE


def private() -> None:
    """Let nobody else read what is written."""
    os.umask(0o077)


def little_memory(more: int) -> Callable[[], None]:
    """Allow so many bytes beyond what the process has already."""

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit


def short_files(size: int) -> Callable[[], None]:
    """Allow no file to grow beyond so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


SET = {
    "no HOME": no_home,
    "closed HOME": closed_home,
    "closed TMPDIR": closed_tmpdir,
    "umask 077": private,
    "10 MB of memory": little_memory(10 << 20),
    "100 MB of memory": little_memory(100 << 20),
    "files of 1 kB": short_files(1000),
}
HARMLESS = ("no HOME", "closed HOME", "closed TMPDIR", "umask 077")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def room(folder: Path) -> int:
    """Bytes that are free on a file system."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def under_fault(
    study: Study, job: forks.Job, fault: str, before: Callable[[], object], right: list[dict]
) -> tuple[str, list[str]]:
    """How a job ends under a fault, and what is wrong with that or with its next run."""
    places = [study.folder / name for name in job.outputs]
    wrong, where = [], f"{job.rule} with {fault}"
    forget(study, places)
    prepare(study, job, places)
    printed = study.folder.parent / "printed"
    status = forks.ended(forks.start(job, study.folder, printed=printed, before=before))
    lines = printed.read_text(errors="replace").splitlines()
    whole = [
        place.exists() and said(place) == expected
        for place, expected in zip(places, right, strict=True)
    ]
    if status == 0 and not all(whole):
        wrong.append(f"{where}: ends well without its results")
    if status > 0 and (len(lines) != LINES or "Traceback" in lines[0]):
        wrong.append(f"{where}: says {lines[:3]} in {len(lines)} lines")
    if status and fault in HARMLESS:
        wrong.append(f"{where}: fails with {lines[-1:]}")
    if any(place.exists() and not fine for place, fine in zip(places, whole, strict=True)):
        wrong.append(f"{where}: leaves half a result")
    first = log_of(study, job).partition("\n")[0]
    how = "well" if status == 0 else "killed" if status < 0 else "in a sentence"
    if status > 0 and first.startswith(FAILED):
        how += ", which the log begins with"
    prepare(study, job, places)
    if forks.ended(forks.start(job, study.folder)):
        wrong.append(f"{where}: does not work afterwards")
    elif [said(place) for place in places] != right:
        wrong.append(f"{where}: has other results afterwards")
    return how, wrong


def on_a_full_disk(
    study: Study, job: forks.Job, disk: Path, right: list[dict], share: float
) -> tuple[str, list[str]]:
    """A job on a disk with room for a share of its results, and again when there is more."""
    copy = Study(disk / "study")
    if not copy.folder.exists():
        shutil.copytree(study.folder, copy.folder, symlinks=True)
    places = [copy.folder / name for name in job.outputs]
    forget(copy, places)
    prepare(copy, job, places)
    size = sum(len(data) for result in right for data in result.values() if isinstance(data, bytes))
    ballast = disk / "ballast"

    def fill() -> None:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, room(disk) - int(share * size)))

    fill()
    printed = study.folder.parent / "printed"
    status = forks.ended(forks.start(job, copy.folder, printed=printed))
    ballast.unlink()
    lines = printed.read_text(errors="replace").splitlines()
    wrong, where = [], f"{job.rule} on a disk with room for {share:.0%}"
    if status > 0 and (len(lines) != LINES or "is full" not in lines[0]):
        wrong.append(f"{where}: says {lines[:3]} in {len(lines)} lines")
    if status < 0:
        wrong.append(f"{where}: killed by {-status}")
    for place, expected in zip(places, right, strict=True):
        if place.exists() and said(place) != expected:
            wrong.append(f"{where}: leaves half of {place.name}")
    prepare(copy, job, places)
    if forks.ended(forks.start(job, copy.folder)) or [said(place) for place in places] != right:
        wrong.append(f"{where}: has other results afterwards")
    return "well" if status == 0 else "in a sentence", wrong


def try_all(study: Study, jobs: list[forks.Job], folder: Path) -> list[str]:
    """Every fault on every job; prints how many ended how, and returns what was wrong."""
    ways: Counter[tuple[str, str]] = Counter()
    wrong = []
    disks = os.geteuid() == 0
    with small_disk(folder / "disk", "600m") if disks else nothing(folder) as disk:
        for job in jobs:
            places = [study.folder / name for name in job.outputs]
            right = [said(place) for place in places]
            for fault, before in SET.items():
                how, found = under_fault(study, job, fault, before, right)
                ways[fault, how] += 1
                wrong += told(found)
            for share in (0.4,) if disks else ():
                how, found = on_a_full_disk(study, job, disk, right, share)
                ways[f"disk with room for {share:.0%}", how] += 1
                wrong += told(found)
    for (fault, how), count in sorted(ways.items()):
        print(f"{fault}: {count} jobs end {how}", flush=True)
    return wrong


def told(found: list[str]) -> list[str]:
    """What was found to be wrong, printed at once."""
    for sentence in found:
        print(sentence, flush=True)
    return found


@contextmanager
def nothing(folder: Path) -> Iterator[Path]:
    """No disk, for those who may not mount one."""
    print("Without root there is no full disk to try.", flush=True)
    yield folder
