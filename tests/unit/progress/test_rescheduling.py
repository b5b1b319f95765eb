"""Snakemake looks for jobs again where its limit of jobs a second held some back, only there."""

from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobRateLimiter, JobScheduler
from snakemake.settings.types import MaxJobsPerTimespan

from stepscope.progress.rescheduling import only_when_limited


@pytest.mark.parametrize(("started", "looks"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_a_look_is_asked_for_where_no_more_jobs_may_start(started, looks):
    asked = []
    scheduler = SimpleNamespace(
        job_rate_limiter=JobRateLimiter(MaxJobsPerTimespan(2, "1h")),
        _schedule_reevalutation=asked.append,
    )
    only_when_limited(SimpleNamespace(scheduler=scheduler))
    scheduler.job_rate_limiter.register_jobs(started)
    scheduler._schedule_reevalutation(3600.0)
    assert asked == [3600.0] * looks


def test_the_scheduler_at_hand_has_what_is_replaced():
    assert callable(JobScheduler._schedule_reevalutation)


def test_another_scheduler_is_left_as_it_is():
    scheduler = SimpleNamespace(_schedule_reevalutation=print)
    only_when_limited(SimpleNamespace(scheduler=scheduler))
    assert scheduler._schedule_reevalutation is print
