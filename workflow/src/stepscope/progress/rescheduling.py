"""Lets Snakemake look for jobs when there may be some to start, and not all the time."""

from contextlib import suppress
from typing import Any


def only_when_limited(workflow: Any) -> None:
    """Look again after a while only where the limit of jobs a second held some back.

    Snakemake's scheduler asks for another look, a second later, after every look, and each job that
    ends begins a chain of its own: after 150 jobs a fifth of a core goes into looking. What a job
    that ends makes possible is seen without. `workflow` is Snakemake's, about to start its jobs.
    """
    with suppress(Exception):  # another version's scheduler is left as it is
        scheduler = workflow.scheduler
        limiter, again = scheduler.job_rate_limiter, scheduler._schedule_reevalutation

        def later(delay: float) -> None:
            if limiter.get_free_jobs() == 0:
                again(delay)

        scheduler._schedule_reevalutation = later
