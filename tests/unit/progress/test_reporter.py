"""The reporter, with a stand-in for Snakemake's workflow and the events of its logger."""

import io
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.logging import DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from stepscope.progress import reporter
from stepscope.progress.reporter import CLEAR, Reporter, failures


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True


@dataclass(eq=False)
class Planned:
    """A job of Snakemake's."""

    folder: Path
    jobid: int
    name: str
    wildcards_dict: dict[str, str] = field(default_factory=lambda: {"model": "m", "batch": "0"})
    is_group: Callable[[], bool] = lambda: False

    def __post_init__(self):
        self.rule = SimpleNamespace(name=self.name)
        self.scheduler_resources = {"_cores": 1, "tmpdir": "/tmp"}
        self.log = [str(self.folder / f"{self.name}.log")]
        self.benchmark = str(self.folder / f"{self.name}.jsonl")


@dataclass
class Run:
    """A run of three jobs, each of which waits for the one before; the first is done already."""

    folder: Path
    quiet: set[Quietness] = field(default_factory=set)
    plugins: list[str] = field(default_factory=list)

    def __post_init__(self):
        names = ("fetch", "generate", "explain", "score")
        self.jobs = [Planned(self.folder, number, name) for number, name in enumerate(names)]
        before = [[], *([job] for job in self.jobs)]
        self.workflow = SimpleNamespace(
            dag=SimpleNamespace(
                needrun_jobs=lambda: self.jobs[1:],
                dependencies=dict(zip(self.jobs, before, strict=False)),
                needrun=lambda job: job.jobid > 0,
            ),
            scheduler=SimpleNamespace(
                global_resources={"_cores": 2, "_nodes": sys.maxsize, "mem": "1 GB"}, failed=set()
            ),
            output_settings=SimpleNamespace(quiet=self.quiet, stdout=False),
            logger_manager=SimpleNamespace(get_log_handlers=lambda: self.plugins),
        )
        self.written = io.StringIO()
        self.logger = logging.Logger("run")
        handler = logging.StreamHandler(self.written)
        handler.setFormatter(DefaultFormatter())
        self.logger.addHandler(handler)
        estimates = self.folder / "estimate.json"
        expected = {"generate": 100, "explain": 300, "score": 600}
        keys = {f"{name} batch=0 model=m": seconds for name, seconds in expected.items()}
        estimates.write_text(json.dumps(keys))
        self.reporter = Reporter(self.workflow, self.logger, estimates)

    def event(self, event: LogEvent, **more: object) -> None:
        self.logger.info(None, extra={"event": event, **more})

    def finish(self, number: int, seconds: float) -> None:
        """End a job as Snakemake tells of it, with the benchmark that it wrote."""
        self.event(LogEvent.JOB_STARTED, jobs=[number])
        Path(self.jobs[number].benchmark).write_text(json.dumps({"s": seconds, "mean_load": 99}))
        self.event(LogEvent.JOB_FINISHED, job_id=number)
        self.event(LogEvent.PROGRESS, done=1, total=3)


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path)
    yield made
    made.reporter.stop()


def test_a_count_of_jobs_becomes_a_share_of_the_work(run):
    run.reporter.start()
    run.finish(1, seconds=200.0)
    # as much slower as the first job was: 200 of 200 + 600 + 1200 seconds
    (line,) = [line for line in run.written.getvalue().splitlines() if "%" in line]
    assert line == "10 % of the work done (1 of 3 jobs) after 1 min, about 30 min left"


@pytest.mark.parametrize(
    ("estimated", "earlier", "expected"),
    [
        ({}, {"generate": '{"s": 200.0}', "explain": '{"s": 400.0}'}, [200, 400, None]),
        # an estimate is of the study as it is now
        ({"generate": 60}, {"generate": '{"s": 200.0}', "score": '{"s": 9}'}, [60, None, 9]),
        # of a run that was killed, or that Snakemake could not measure
        ({}, {"generate": '{"s": 2', "explain": "[1]", "score": '{"s": "NA"}'}, [None] * 3),
        ({}, {}, [None] * 3),
    ],
)
def test_without_an_estimate_a_job_takes_what_it_took_before(run, estimated, earlier, expected):
    keys = {f"{name} batch=0 model=m": took for name, took in estimated.items()}
    Path(run.reporter.estimates).write_text(json.dumps(keys))
    for job in run.jobs[1:]:
        if job.name in earlier:
            Path(job.benchmark).write_text(earlier[job.name])
    run.reporter.start()
    assert [job.expected for job in run.reporter.jobs.values()] == expected
    assert ("(rough" in run.reporter.line()) == (expected == [None] * 3)


def test_running_jobs_are_read_from_their_logs_and_not_from_an_earlier_runs(run):
    run.reporter.start()
    run.finish(1, seconds=100.0)
    log = Path(run.jobs[2].log[0])
    log.write_text("steps: 9 of 10, 01:00 gone, 00:01 left\n")  # of a run that was killed
    run.event(LogEvent.JOB_STARTED, jobs=[2])
    assert "running" not in run.reporter.line()
    log.unlink()
    log.write_text("steps: 1 of 10, 00:20 gone, 03:00 left\n")
    line = run.reporter.line()
    assert line.endswith("running: explain m/0 1/10")
    # 180 s by the bar, and 600 s of a rule that is not measured by what all others were
    assert f"about {(180 + 600 * 280 / 400) / 60:.0f} min left" in line


def test_a_failed_job_takes_what_waits_for_it_out_of_the_count(run):
    run.reporter.start()
    run.finish(1, seconds=100.0)
    run.workflow.scheduler.failed.add(run.jobs[2])
    line = run.reporter.line()
    assert line == "100 % of the work done (1 of 1 jobs) after 1 min; 1 failed"


def test_a_log_gets_a_line_a_minute_and_a_terminal_one_that_makes_way(run, monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr(reporter, "LOG_SECONDS", 0.01)
        monkeypatch.setattr(reporter, "TERMINAL_SECONDS", 0.01)
        run.reporter.stream = Terminal() if terminal else io.StringIO()
        before = run.written.getvalue()
        run.reporter.over.clear()
        run.reporter.start()
        deadline = time.monotonic() + 10
        said = run.reporter.stream if terminal else run.written
        while "0 % of the work done" not in said.getvalue().removeprefix(before):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run.reporter.stop()
    drawn = run.reporter.stream.getvalue()
    assert drawn.startswith(f"{CLEAR}0 % of the work done (0 of 3 jobs)")
    assert drawn.endswith(CLEAR)
    assert "\n" not in drawn
    assert run.written.getvalue() == before


@pytest.mark.parametrize("wish", [{"quiet": {Quietness.PROGRESS}}, {"plugins": ["rich"]}])
def test_who_wants_no_progress_or_shows_it_otherwise_gets_none(tmp_path, wish):
    run = Run(tmp_path, **wish)
    run.reporter.start()
    run.finish(1, seconds=100.0)
    assert "1 of 3 steps (33%) done" in run.written.getvalue()


@pytest.mark.parametrize("broken", ["dag", "scheduler"])
def test_what_goes_wrong_in_it_never_reaches_the_run(run, broken):
    run.reporter.start()
    setattr(run.workflow, broken, None)
    run.reporter.start()
    run.finish(1, seconds=100.0)
    assert "Finished" not in run.written.getvalue()


def test_failed_jobs_are_summed_up_in_a_sentence_each(tmp_path):
    failed, killed = Planned(tmp_path, 1, "explain"), Planned(tmp_path, 2, "generate")
    Path(failed.log[0]).write_text(f"{reporter.FAILED}my_method: no map.\n\nTraceback ...\n")
    Path(killed.log[0]).write_text("loading\n")
    silent = "ended without a word, perhaps killed or out of memory"
    assert failures([failed, killed]) == [
        f"explain failed: my_method: no map. (log: {failed.log[0]})",
        f"generate failed: {silent} (log: {killed.log[0]})",
    ]
