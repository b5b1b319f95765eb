"""Says how far a run of Snakemake is: a line a minute in a log, one kept up to date on a terminal.

Nothing that goes wrong in here reaches the run.
"""

import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stepscope.progress.forecast import Job, described, key, last_bar

LOG_SECONDS, TERMINAL_SECONDS = 60.0, 5.0  # between two lines
CLEAR = "\r\x1b[K"
FAILED = "Failed: "  # begins the log of a job that failed of an exception; see `joblog`


class Reporter:
    """A filter of Snakemake's logger, which sees every record before it is written.

    A count of jobs, which says little where one takes seconds and another an hour, is replaced by
    the line of progress; a line drawn on a terminal makes way for what is written.
    """

    def __init__(self, workflow: Any, logger: logging.Logger, estimates: str | Path) -> None:
        """`workflow` is Snakemake's; `estimates` the file that the rule `estimate` kept."""
        self.workflow, self.logger, self.estimates = workflow, logger, estimates
        self.jobs: dict[int, Job] = {}
        self.limits: dict[str, int] = {}
        self.begun = 0.0
        self.stream = sys.stderr
        self.drawn, self.lock, self.over = False, threading.RLock(), threading.Event()
        self.unchanged: dict[int, int | None] = {}  # a log that an earlier run left behind

    def start(self) -> None:
        """Begin, unless the user wants no progress or has a plugin that shows it."""
        with suppress(Exception):
            quiet = {level.name for level in self.workflow.output_settings.quiet or ()}
            if quiet & {"ALL", "PROGRESS"} or self.workflow.logger_manager.get_log_handlers():
                return
            self.jobs = planned(self.workflow, self.estimates)
            limits = self.workflow.scheduler.global_resources.items()
            self.limits = {
                name: limit
                for name, limit in limits
                if isinstance(limit, int) and 0 < limit < sys.maxsize
            }
            self.begun = time.monotonic()  # whatever happens to the clock
            if self.workflow.output_settings.stdout:
                self.stream = sys.stdout
            self.logger.addFilter(self.seen)
            threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Say no more."""
        with suppress(Exception), self.lock:
            self.over.set()
            self.logger.removeFilter(self.seen)
            self._clear()

    def seen(self, record: logging.LogRecord) -> bool:
        """Learn from a record of Snakemake's, and put the line in the place of a count of jobs."""
        with suppress(Exception), self.lock:
            self._clear()
            event = getattr(record, "event", None)
            if event == "job_started":
                for number in self.jobs.keys() & set(getattr(record, "jobs", ())):
                    self.unchanged[number] = _changed(self.jobs[number].log)
            elif event == "job_finished":
                self._finish(self.jobs[getattr(record, "job_id", -1)])
            elif event == "progress":
                record.__dict__.update(event=None, msg=self.line())
        return True

    def line(self) -> str:
        """How far the run is, after a look at the logs of the jobs that run."""
        now = time.monotonic()
        for number, before in self.unchanged.items():
            job = self.jobs.get(number)
            if job and job.took is None and _changed(job.log) not in (None, before):
                job.started = job.started or now
                job.bar = last_bar(job.log)
        self._forget_failed()
        failed = len(self.workflow.scheduler.failed)
        suffix = f"; {failed} failed" if failed else ""
        return described(self.jobs, self.limits, self.begun, now) + suffix

    def _finish(self, job: Job) -> None:
        """Take a job's seconds from its benchmark, in which no queue counts."""
        now = time.monotonic()
        measured = _benchmarked(job.benchmark)
        job.took = now - (job.started or now) if measured is None else measured

    def _forget_failed(self) -> None:
        """Leave out failed jobs and those that wait for them, which will not run."""
        gone = {job.jobid for job in list(self.workflow.scheduler.failed) if not job.is_group()}
        while gone:
            self.jobs = {number: job for number, job in self.jobs.items() if number not in gone}
            gone = {number for number, job in self.jobs.items() if gone.intersection(job.after)}

    def _run(self) -> None:
        terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        while not self.over.wait(TERMINAL_SECONDS if terminal else LOG_SECONDS):
            with suppress(Exception):
                with self.lock:
                    line = self.line()
                    if terminal and not self.over.is_set():
                        self._draw(line)
                if not terminal:
                    self.logger.info(line)

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self.stream.write(f"{CLEAR}{line[:width]}")
        self.stream.flush()
        self.drawn = True

    def _clear(self) -> None:
        if self.drawn:
            self.stream.write(CLEAR)
            self.stream.flush()
            self.drawn = False


def planned(workflow: Any, estimates: str | Path) -> dict[int, Job]:
    """The jobs that Snakemake's workflow is about to run, by their numbers.

    One that has no estimate is expected to take what it took in an earlier run.
    """
    expected: dict[str, float] = {}
    with suppress(OSError, ValueError):
        expected = json.loads(Path(estimates).read_text("utf-8"))
    dag = workflow.dag
    needs: dict[str, Mapping[str, float]] = {}  # found once a rule: there may be many jobs
    jobs = {}
    for job in dag.needrun_jobs():
        rule, wildcards = job.rule.name, dict(job.wildcards_dict)
        if rule not in needs:
            amounts = job.scheduler_resources.items()
            needs[rule] = {name: amount for name, amount in amounts if isinstance(amount, int)}
        benchmark = str(job.benchmark or "")
        jobs[job.jobid] = Job(
            name=" ".join(filter(None, [rule, "/".join(wildcards.values())])),
            rule=rule,
            expected=expected.get(key(rule, wildcards), _benchmarked(benchmark)),
            needs=needs[rule],
            after=[other.jobid for other in dag.dependencies[job] if dag.needrun(other)],
            log=str(job.log[0]) if job.log else "",
            benchmark=benchmark,
        )
    return jobs


def failures(jobs: Iterable[Any]) -> list[str]:
    """A sentence for each failed job of Snakemake's, from the first line of its log."""
    sentences = []
    for job in (job for job in jobs if not job.is_group()):
        log = str(job.log[0]) if job.log else ""
        said = "ended without a word, perhaps killed or out of memory"
        with suppress(OSError), open(log, encoding="utf-8", errors="replace") as file:
            first = file.readline().strip()
            said = first.removeprefix(FAILED) if first.startswith(FAILED) else said
        where = f" (log: {log})" if log else ""
        sentences.append(f"{job.rule.name} failed: {said}{where}")
    return sentences


def _benchmarked(path: str) -> float | None:
    """Seconds in a benchmark of Snakemake's; None where there is none that can be read."""
    try:
        return float(json.loads(Path(path).read_text("utf-8"))["s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _changed(path: str) -> int | None:
    """When a file was last changed, in nanoseconds; None where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
