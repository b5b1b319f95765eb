"""What a study will cost: jobs, denoiser calls, hours and disk for each target, from dry runs."""

import functools
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepscope.estimate.cost import Needs, cost
from stepscope.estimate.dry_runs import Planned, planned
from stepscope.progress.forecast import Job, forecast, key

if TYPE_CHECKING:  # it imports torch
    from stepscope.estimate.measure import Measurement

BATCH = 8  # for which a size that memory decides is taken
COLUMNS = ("target", "jobs", "guided calls", "pictures", "hours", "side by side", "GB", "files")
ROW = "{:<9}{:>14,}{:>14,.0f}{:>14,}{:>14.2f}{:>14.2f}{:>14.2f}{:>14,}"


def estimate(
    *,
    targets: list[str],
    snakefile: str,
    config: dict[str, Any],
    prompts: dict[str, list[dict[str, Any]]],
    models: dict[str, dict[str, Any]],
    clip: dict[str, Any],
    limits: Mapping[str, int],
    kept: str,
) -> str:
    """Table, as text, of what is still to do for each target; `kept` gets the seconds of each job.

    Jobs come from dry runs, calls from the methods themselves, bytes from the model's geometry.
    Seconds of calls and pictures, and memory, come from a few of them, made as jobs make them,
    where a model is at hand; `clip` is the entry of the one that reads pictures. Hours are those of
    one job at a time, and of as many side by side as `limits` allows, the number of each resource.
    """
    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(lambda target: planned(target, snakefile, config), targets))
    needed = {job.wildcards["model"] for plan in plans for job in plan if "model" in job.wildcards}
    measured: dict[str, Measurement] = {}
    importing = 0.0
    if needed:
        # takes seconds to import, and often nothing is left to do
        from stepscope.estimate.measure import measure
        from stepscope.estimate.timings import measure_judge

        importing = time.process_time()  # this process has begun as a job with a model does
        judge = functools.cache(lambda: measure_judge(clip, config["probe"]["size"]))
        measured = {name: measure(models[name], config, prompts, judge) for name in sorted(needed)}
    costs = [[cost(job, config, prompts, measured, importing) for job in plan] for plan in plans]
    seconds = {
        key(job.rule, job.wildcards): needs.seconds
        for plan, of_plan in zip(plans, costs, strict=True)
        for job, needs in zip(plan, of_plan, strict=True)
    }
    keep(kept, seconds)
    rows = [
        (target, *total(plan, of_plan, limits))
        for target, plan, of_plan in zip(targets, plans, costs, strict=True)
    ]
    beside = limits.get("_cores") or limits.get("_nodes") or 1
    lines = [
        f"To do (finished jobs do not count; hours: one job at a time, and {beside} side by side; "
        "GB: before compression):",
        ("{:<9}" + "{:>14}" * 7).format(*COLUMNS),
        *(ROW.format(*row) for row in rows),
        *largest(plans, costs, config, prompts, measured),
        *(described(name, model) for name, model in measured.items()),
    ]
    return "\n".join(lines)


def largest(
    plans: Sequence[Sequence[Planned]],
    costs: Sequence[Sequence[Needs]],
    config: Mapping[str, Any],
    prompts: Mapping[str, Sequence[Mapping[str, Any]]],
    measured: Mapping[str, "Measurement"],
) -> list[str]:
    """A line about the job of generate whose store is the largest, of all targets; none without.

    Memory is that of a forward batch, however many a job has. Until its store is complete, its
    forward batches are kept beside it.
    """
    pairs = [pair for of in zip(plans, costs, strict=True) for pair in zip(*of, strict=True)]
    stores = [(needs.size, job.wildcards) for job, needs in pairs if job.rule == "generate"]
    if not stores:
        return []
    size, of = max(stores, key=lambda store: store[0])
    rows = [row for row in prompts[of["dataset"]] if row["batch"] == of["batch"]]
    count = sum(len(row["seeds"]) for row in rows)
    together, model = config["storage"]["forward_batch"], measured[of["model"]]
    most = min(count, BATCH if together == "auto" else together)
    memory = (model["weights"] + most * model["sample"]) / 1e9
    return [
        f"largest job of generate: {count:,} samples, {memory:.2g} GB of memory ({most} together"
        f"{', which auto decides' if together == 'auto' else ''}), at most {2 * size / 1e9:.3g} GB "
        f"of disk, {size / 1e9:.3g} GB when its store is complete"
    ]


def described(name: str, model: "Measurement") -> str:
    """A line about what a model costs."""
    calls = {"tracing": model["tracing"]} | model["methods"]
    rates = ", ".join(f"{name} {1 / seconds:.3g}" for name, seconds in calls.items())
    return (
        f"{name}: guided calls a second: {rates}; decoded pictures a second: "
        f"{1 / model['decoding']:.3g}; in memory {model['weights'] / 1e9:.2g} GB and "
        f"{model['sample'] / 1e9:.2g} GB a sample of a forward batch ({model['label']})"
    )


def total(
    plan: Sequence[Planned], costs: Sequence[Needs], limits: Mapping[str, int]
) -> tuple[int, float, int, float, float, float, int]:
    """Jobs, guided calls, decoded pictures, hours, hours within `limits`, GB, files of a plan."""
    calls, pictures, size, files, seconds, _ = map(sum, zip(Needs(), *costs, strict=True))
    made = {path: number for number, job in enumerate(plan) for path in job.outputs}
    jobs = {
        number: Job(
            name=job.rule,
            rule=job.rule,
            expected=needs.seconds,
            needs={"_cores": 1, "_nodes": 1, **job.resources},
            after=[made[path] for path in job.inputs if path in made],
        )
        for number, (job, needs) in enumerate(zip(plan, costs, strict=True))
    }
    _, left = forecast(jobs, limits, now=0)
    return len(plan), calls, pictures, seconds / 3600, left / 3600, size / 1e9, files


def keep(path: str, seconds: dict[str, float]) -> None:
    """Write seconds of jobs by their keys into a JSON file, beside those of jobs it has already."""
    file, before = Path(path), {}
    with suppress(OSError, ValueError):
        before = json.loads(file.read_text(encoding="utf-8"))
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(before | seconds, indent=1), encoding="utf-8")
    os.replace(temporary, file)
