"""Faults on a tiny study, so that nothing finished is lost and no result differs.

    make test-faults KILLS=300

First an uninterrupted run; then one job of every rule is killed again and again (`jobs`), and meets
a full disk, little memory and more (`conditions`); then whole runs of Snakemake are killed
(`storm`).
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from faults import conditions, forks, jobs, runs, storm

IN_RUNS = 6  # of so many kills, one is in a whole run of Snakemake


def main() -> None:
    """Run all parts and print what they did; fail if anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("jobs", "conditions", "runs"))
    parser.add_argument("--rules", nargs="+")
    given = parser.parse_args()
    if sys.flags.optimize:
        raise SystemExit("not with -O: what is checked are assertions")
    begun, wrong, in_runs = time.monotonic(), [], given.kills // IN_RUNS
    if given.only in (None, "jobs", "conditions"):
        with tempfile.TemporaryDirectory() as name, forks.Forks() as forked:
            study = jobs.make_study(Path(name, "study"), storm.make_models(Path(name, "models")))
            chosen = jobs.one_of_each(study, forked)
            chosen = [job for job in chosen if job.rule in (given.rules or (job.rule,))]
            print(f"A job of each of {len(chosen)} rules after {since(begun)}.", flush=True)
            if given.only != "conditions":
                wrong += killed(study, chosen, given.kills - in_runs, given.seed)
            if given.only != "jobs":
                wrong += conditions.try_all(study, chosen, Path(name))
                wrong += runs.try_all(study)
    if given.only in (None, "runs"):
        wrong += storm.rage(in_runs, given.seed, list(storm.STAGES))
    print(*wrong, sep="\n")
    print(f"{len(wrong)} faults lost or changed something, in {since(begun)}.")
    raise SystemExit(bool(wrong))


def killed(study: jobs.Study, chosen: list[forks.Job], kills: int, seed: int) -> list[str]:
    """Kill a job of each rule; prints a line a rule, and returns what was wrong."""
    ravaged = jobs.Storm(study, random.Random(seed))
    for index, job in enumerate(chosen):
        count = kills * (index + 1) // len(chosen) - kills * index // len(chosen)
        seconds = ravaged.rage(job, count)
        of_rule = {victim: n for (rule, victim), n in ravaged.kills.items() if rule == job.rule}
        print(f"{job.rule} ({seconds:.1f} s): {of_rule}, lost {ravaged.lost[job.rule]}", flush=True)
    by_victim: Counter[str] = Counter()
    for (_, victim), count in ravaged.kills.items():
        by_victim[victim] += count
    lost = [f"{rule}: {count} made again" for rule, count in ravaged.lost.items() if count]
    print(f"{sum(by_victim.values())} kills of jobs {dict(by_victim)}.", flush=True)
    return lost + ravaged.wrong


def since(begun: float) -> str:
    """Minutes that have passed."""
    return f"{(time.monotonic() - begun) / 60:.1f} min"


if __name__ == "__main__":
    main()
