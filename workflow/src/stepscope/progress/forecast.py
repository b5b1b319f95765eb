"""How far a run is: what an estimate or an earlier run expects, corrected by what was measured."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BAR = re.compile(r"^[^\n]+: (\d+) of (\d+), [\d:]+ gone, ([\d:]+|\?) left\n", re.MULTILINE)
TAIL = 2**14  # bytes at a log's end in which its last bar is looked for
NAMED = 3  # running jobs that a line names
ROUGH = " (rough: without `snakemake estimate` jobs count alike)"


def key(rule: str, wildcards: Mapping[str, str]) -> str:
    """Name of a job in the file of estimates."""
    return " ".join([rule, *(f"{name}={value}" for name, value in sorted(wildcards.items()))])


@dataclass
class Job:
    """A planned job, and what is known of it.

    `expected`: seconds by the estimate or an earlier run, None without; `needs`: its share of each
    limited resource; `after`: the planned jobs that it waits for; `started`: when its log was first
    seen to be its own; `took`: its seconds, once it is done; `bar`: see `last_bar`.
    """

    name: str
    rule: str
    expected: float | None = None
    needs: Mapping[str, float] = field(default_factory=dict)
    after: Iterable[int] = ()
    log: str = ""
    benchmark: str = ""
    started: float | None = None
    took: float | None = None
    bar: tuple[int, int, float | None] | None = None

    def measured(self, now: float) -> float | None:
        """Seconds from its beginning to its end, as far as they can be told; else None."""
        if self.took is not None:
            return self.took
        if self.started is None or self.bar is None or self.bar[2] is None:
            return None
        return now - self.started + self.bar[2]


def forecast(
    jobs: Mapping[int, Job], limits: Mapping[str, float], now: float
) -> tuple[float, float]:
    """Share of the work that is done, in [0, 1], and the seconds until all is.

    A job that is not measured takes what the estimate says, times how much longer than estimated
    the measured jobs of its rule took (of all rules, where its own has none). What is left lasts as
    long as its longest chain of jobs, or as the scarcest resource needs to serve it.
    """
    known = [job.expected for job in jobs.values() if job.expected]
    usual = sum(known) / len(known) if known else 1.0
    planned = {
        number: usual if job.expected is None else job.expected for number, job in jobs.items()
    }
    sums: dict[str | None, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for number, job in jobs.items():
        seconds = job.measured(now)
        for group in (job.rule, None) if seconds is not None and planned[number] else ():
            sums[group][0] += seconds or 0.0
            sums[group][1] += planned[number]
    total = left_of_all = 0.0
    left: dict[int, float] = {}
    for number, job in jobs.items():
        longer, than = sums.get(job.rule) or sums.get(None) or (1.0, 1.0)
        seconds = job.measured(now)
        elapsed = 0.0 if job.started is None else now - job.started
        expected = planned[number] * longer / than if seconds is None else seconds
        left[number] = 0.0 if job.took is not None else max(expected - elapsed, 0.0)
        total += max(expected, elapsed if job.took is None else 0.0)
        left_of_all += left[number]
    served = (
        sum(left[number] * job.needs.get(name, 0) for number, job in jobs.items()) / limit
        for name, limit in limits.items()
    )
    return 1 - left_of_all / total if total else 1.0, max([longest_chain(jobs, left), *served])


def longest_chain(jobs: Mapping[int, Job], left: Mapping[int, float]) -> float:
    """Seconds of the longest chain of jobs of which each waits for the one before."""
    chains: dict[int, float] = {}

    def chain(number: int) -> float:
        if number not in chains:
            before = (chain(other) for other in jobs[number].after if other in jobs)
            chains[number] = left[number] + max(before, default=0.0)
        return chains[number]

    return max(map(chain, jobs), default=0.0)


def last_bar(log: str | Path) -> tuple[int, int, float | None] | None:
    """Items done, all items and seconds left by the last line of a job's bar; None without one."""
    try:
        with open(log, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - TAIL, 0))
            lines = BAR.findall(file.read().decode("utf-8", "replace"))
    except OSError:
        return None
    if not lines:
        return None
    done, total, left = lines[-1]
    seconds = None
    if left != "?":
        seconds = sum(int(part) * 60**power for power, part in enumerate(left.split(":")[::-1]))
    return int(done), int(total), seconds


def minutes(seconds: float) -> str:
    """A duration in words, as precise as progress can be."""
    return f"{max(seconds / 60, 1):.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def described(
    jobs: Mapping[int, Job], limits: Mapping[str, float], begun: float, now: float
) -> str:
    """The line that says how far a run is."""
    share, left = forecast(jobs, limits, now)
    done = sum(job.took is not None for job in jobs.values())
    after = f"({done} of {len(jobs)} jobs) after {minutes(now - begun)}"
    if done == len(jobs):
        return f"100 % of the work done {after}"
    rough = "" if any(job.expected for job in jobs.values()) else ROUGH
    percent = min(round(100 * share), 99)
    line = f"{percent} % of the work done {after}, about {minutes(left)} left{rough}"
    running = [job for job in jobs.values() if job.started is not None and job.took is None]
    running.sort(key=lambda job: job.started or now)
    names = [job.name + (f" {job.bar[0]}/{job.bar[1]}" if job.bar else "") for job in running]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return f"{line}; running: {', '.join([*names[:NAMED], *more])}" if names else line
