"""Whole runs of Snakemake where something is wrong with the folder, the home or the clock."""

import os
import shlex
import subprocess
import time

from faults.conditions import NOWHERE
from support.workflow import Study, environment

STORE = "results/tiny/traces/tiny/pairs/uniform/0.zarr"
PART = "results/tiny/previews/tiny/pairs/uniform/0.zarr"
DAY = 24 * 3600


def said(study: Study, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit status and what a run prints."""
    done = subprocess.run(
        study.command(*arguments),
        cwd=study.root,
        env=environment() | variables,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def second_run(study: Study) -> list[str]:
    """A second run in a folder must say that there is one, and leave the first alone."""
    (study.folder / STORE).rename(study.folder / "aside")
    first = subprocess.Popen(
        study.command(STORE), cwd=study.root, env=environment(), stderr=subprocess.DEVNULL
    )
    while first.poll() is None and not list(study.folder.glob(".snakemake/locks/*")):
        time.sleep(0.02)
    status, printed = said(study, PART)
    wrong = [] if status and "LockException" in printed else ["a second run is not refused"]
    if first.wait() or not (study.folder / STORE / "zarr.json").is_file():
        wrong.append("a second run disturbs the first")
    return wrong


def closed_home(study: Study) -> list[str]:
    """Without a home to write to, another place for Snakemake's cache is enough."""
    status, printed = said(study, "--dry-run", PART, HOME=NOWHERE)
    wrong = [] if status and NOWHERE in printed else ["a closed HOME is not named"]
    cache = str(study.folder / "cache")
    status, printed = said(study, "--dry-run", PART, HOME=NOWHERE, XDG_CACHE_HOME=cache)
    return wrong + ([f"XDG_CACHE_HOME is not enough: {printed[-200:]}"] if status else [])


def of_tomorrow(study: Study) -> None:
    """Give a store times that lie a day ahead."""
    ahead = time.time() + DAY
    for path in (study.folder / STORE).rglob("*"):
        os.utime(path, (ahead, ahead))


def wrong_clock(study: Study) -> list[str]:
    """Results of a clock that was a day ahead are refused by name, with a command that mends them.

    What was made of them is made again, or kept by `--touch`.
    """
    of_tomorrow(study)
    status, printed = said(study, "--forcerun", "decode", "--", PART)
    named = printed.partition("lies in the future")[2]
    if not status or not named:
        return ["a store of tomorrow is not named"]
    command, wrong = shlex.split(named.split("`")[1]), []
    for then in ((), ("--touch",)):
        subprocess.run(command, cwd=study.folder, check=True)
        status, printed = said(study, *then, PART)
        if status or "Nothing to be done" not in said(study, "--dry-run", PART)[1]:
            wrong.append(f"a store of tomorrow is not mended by {command}, {then}: {printed}")
        of_tomorrow(study)
    subprocess.run(command, cwd=study.folder, check=True)
    return wrong


def try_all(study: Study) -> list[str]:
    """All of these on a study that is finished; returns what was wrong."""
    wrong = [*closed_home(study), *wrong_clock(study), *second_run(study)]
    print("A closed HOME, a clock that was ahead, two runs in one folder.", flush=True)
    return wrong
