"""How much of a run is done and left, from what was expected and what was measured."""

import pytest

from stepscope.progress.forecast import Job, described, forecast, key

CORES = {"_cores": 1}


def job(rule: str, expected: float | None, **known) -> Job:
    return Job(name=rule, rule=rule, expected=expected, needs=CORES, **known)


def test_work_counts_and_not_jobs():
    """A study of one long job and thirty short ones is not nearly done when these are."""
    jobs = {number: job("score", 10, took=10.0) for number in range(30)}
    jobs[30] = job("explain", 2700)
    share, left = forecast(jobs, {"_cores": 2}, now=300)
    assert share == pytest.approx(300 / 3000)
    assert left == 2700  # one job, which two cores do not shorten


@pytest.mark.parametrize(
    ("jobs", "share", "left"),
    [
        # twice as slow as expected, by its own rule alone
        ([job("a", 10, took=20.0), job("a", 30), job("b", 5, took=5.0)], 25 / 85, 60),
        # nothing of its rule is measured: as much slower as the others
        ([job("a", 10, took=30.0), job("b", 20)], 30 / 90, 60),
        # no estimate: as long as the other jobs of its rule
        ([job("a", None, took=40.0), job("a", None), job("b", None, took=2.0)], 42 / 82, 40),
        # unknown to the estimate: as long as a usual job
        ([job("a", 10, took=10.0), job("new", None)], 10 / 20, 10),
        # a target, which takes no time and says nothing of how fast others are
        (
            [job("a", 10, took=20.0), job("all", 0, took=0.0), job("all", 0), job("b", 10)],
            20 / 40,
            20,
        ),
        # a running job without a bar, and one that takes longer than expected
        ([job("a", 100, started=40.0), job("a", 50, started=40.0)], 120 / 160, 40),
        # a bar knows better than the estimate: 60 s gone, and 20 left
        ([job("a", 500, started=40.0, bar=(3, 4, 20.0))], 60 / 80, 20),
        # nothing has begun, nothing is to do
        ([job("a", 10), job("b", 20)], 0, 30),
        ([], 1, 0),
    ],
)
def test_the_rest_is_scaled_by_what_was_measured(jobs, share, left):
    found = forecast(dict(enumerate(jobs)), CORES, now=100)
    assert found == pytest.approx((share, left))


def test_what_is_left_waits_for_resources_and_for_each_other():
    chain = {1: job("a", 10), 2: job("b", 10, after=[1, 99]), 3: job("c", 10, after=[2])}
    assert forecast(chain, {"_cores": 8}, now=0)[1] == 30
    alike = {number: job("a", 10) for number in range(8)}
    assert forecast(alike, {"_cores": 4}, now=0)[1] == 20
    for each in alike.values():
        each.needs = {"_cores": 1, "gpu": 1}
    assert forecast(alike, {"_cores": 4, "gpu": 1}, now=0)[1] == 80


def test_the_line_names_what_runs_and_says_when_it_guesses():
    running = [job("explain", 100, started=40.0 + n) for n in range(5)]
    running[0].bar = (37, 120, 840.0)
    jobs = dict(enumerate([job("generate", 60, took=60.0), *running]))
    line = described(jobs, {"_cores": 8}, begun=40.0, now=160.0)
    assert "(1 of 6 jobs) after 2 min, about 14 min left; running: " in line
    assert line.endswith("running: explain 37/120, explain, explain, 2 more")
    assert int(line.partition(" %")[0]) < 50
    for each in jobs.values():
        each.expected = None
    assert "(rough: without `snakemake estimate`" in described(jobs, {}, 40.0, 160.0)


def test_a_job_has_one_key_whatever_the_order_of_its_wildcards():
    assert key("r", {"b": "2", "a": "1"}) == key("r", {"a": "1", "b": "2"}) == "r a=1 b=2"
