"""What a study will cost: jobs, denoiser calls, hours and disk for each target, from dry runs."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stepscope.estimate import trace_size

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
START = {
    "generate",
    "decode",
    "ground",
    "explain",
    "play_games",
    "probe",
}  # rules that load a model
START_UP = 8.0, 4.0  # seconds before a job with and without a model begins, one CPU thread
COLUMNS = ("target", "jobs", "guided calls", "pictures", "hours", "GB", "files")


def estimate(
    *, targets: list[str], snakefile: str, config: dict, prompts: dict, models: dict
) -> str:
    """Table, as text, of what is still to do for each target.

    Jobs come from dry runs, calls from the methods themselves, bytes from the model's geometry,
    seconds a call, seconds a decoded picture and memory from a probe of 20 calls where a model is
    at hand. Hours are those of one job at a time.
    """
    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(lambda target: planned(target, snakefile, config), targets))
    needed = {wildcards["model"] for plan in plans for _, wildcards in plan if "model" in wildcards}
    measured = {}
    if needed:
        from stepscope.estimate.measure import (
            measure,  # takes seconds to import, and often nothing is left to do
        )

        measured = {name: measure(models[name], config) for name in sorted(needed)}
    rows = [
        (target, *total(plan, config, prompts, measured))
        for target, plan in zip(targets, plans, strict=True)
    ]
    lines = [
        "To do (finished jobs do not count; hours: one job at a time, so with N at a time 1/N; "
        "GB: before compression):",
        ("{:<9}" + "{:>14}" * 6).format(*COLUMNS),
        *("{:<9}{:>14,}{:>14,.0f}{:>14,}{:>14.2f}{:>14.2f}{:>14,}".format(*row) for row in rows),
        *(
            f"{name}: {found['rate']:.3g} guided calls and {found['decoding']:.3g} decoded "
            f"pictures a second, in memory {found['weights'] / 1e9:.2g} GB and "
            f"{found['sample'] / 1e9:.2g} GB a sample of a forward batch ({found['label']})"
            for name, found in measured.items()
        ),
    ]
    return "\n".join(lines)


def planned(target: str, snakefile: str, config: dict) -> list[tuple[str, dict[str, str]]]:
    """(rule, wildcards) of every job that a dry run of ``target`` plans."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--dry-run"]
        command += ["--nocolor", "--cores", "1", "--configfile", file.name, "--", target]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{target}: the dry run failed: {done.stderr or done.stdout}")
    return [(rule, _wildcards(block)) for rule, block in JOB.findall(done.stdout + done.stderr)]


def _wildcards(block: str) -> dict[str, str]:
    found = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in found[1].split(", ")) if found else {}


def total(
    plan: list[tuple[str, dict]], config: dict, prompts: dict, measured: dict
) -> tuple[int, float, int, float, float, int]:
    """Jobs, guided calls, decoded pictures, hours, GB and files of a plan."""
    calls = seconds = size = 0.0
    pictures = files = 0
    for rule, wildcards in plan:
        seconds += START_UP[rule not in START]
        files += 3  # the table or figure, its log, its benchmark
        if "model" not in wildcards:
            continue
        found = measured[wildcards["model"]]
        work = Work(config, prompts, wildcards, found)
        needed = work.calls(rule)
        calls += needed
        decoded = work.pictures(rule)
        pictures += decoded
        seconds += needed / found["rate"] + decoded / found["decoding"]
        more, count = work.stored(rule)
        size += more
        files += count
    return len(plan), calls, pictures, seconds / 3600, size / 1e9, files


class Work:
    """What one job computes and stores."""

    def __init__(self, config: dict, prompts: dict, wildcards: dict, model: dict) -> None:
        """``prompts`` are the study's records by dataset, ``model`` is what ``measure`` found."""
        self.config, self.wildcards, self.model = config, wildcards, model
        self.geometry = model["geometry"]
        rows = prompts[wildcards["dataset"]]
        mine = [row for row in rows if row["batch"] == wildcards["batch"]]
        self.words = [len(record["prompt"].split()) for record in mine for _ in record["seeds"]]
        tokens = max(trace_size.tokens(record["prompt"]) for record in mine)
        self.rows = tokens * self.geometry.texts
        sampling = config["samplings"][wildcards["sampling"]]
        self.steps = sampling.get("steps") or len(sampling["timesteps"])

    def calls(self, rule: str) -> float:
        """Guided denoiser calls of a job of this rule."""
        if rule == "generate":
            from stepscope.tracing.real_pictures import ITERATIONS

            invert = self.config["datasets"][self.wildcards["dataset"]]["trace"] == "invert"
            return len(self.words) * (self.steps * (1 + invert * ITERATIONS) + 2 * invert)
        if rule == "explain":
            entry = self.config["explain"][self.wildcards["method"]]
            words, steps = self._restricted(entry)
            cost = method_cost(entry)
            return sum(cost(count) for count in words) * steps
        if rule == "play_games":
            words, steps = self._restricted(self.config["games"])
            moves = 2 * (self.geometry.latent[1] - 1)
            return len(words) * steps * (3 + moves * self._maps())
        return 0

    def pictures(self, rule: str) -> int:
        """Pictures that a job of this rule decodes."""
        if rule == "decode":  # by both halves and guided at each step, and the final one
            return len(self.words) * (3 * self.steps + 1)
        return self.calls(rule) if rule == "play_games" else 0

    def stored(self, rule: str) -> tuple[float, int]:
        """Bytes before compression, and files, of a job's store; tables hardly count."""
        count, (_, height, width) = len(self.words), self.geometry.latent
        if rule == "generate":
            scheduler = self.config["scheduler"]
            traced = trace_size.trace_bytes(
                self.geometry,
                steps=self.steps,
                rows=self.rows,
                order=scheduler["order"] if scheduler["name"] == "dpmsolver++" else 1,
                dtype=self.model["dtype"],
                derived=self.config["storage"]["derived"],
            )
            return traced * count, 40 + 6 * count
        if rule == "decode":
            side = self.config["probe"]["size"]
            return (9 * self.steps + 3) * side**2 * count, 20 + 2 * count
        if rule == "ground":
            pixels = height * width * self.geometry.factor**2
            return 4 * max(self.words) * pixels * count, 20 + count
        if rule == "explain":
            entry = self.config["explain"][self.wildcards["method"]]
            words, steps = self._restricted(entry)
            return 4 * sum(words) * steps * height * width, 20 + count
        return 0, 0

    def _restricted(self, entry: dict) -> tuple[list[int], int]:
        return self.words[: entry["samples"]], len(entry["steps"] or range(self.steps))

    def _maps(self) -> int:
        """Number of maps that a job plays: a method with its variants, or the two baselines."""
        entry = self.config["explain"].get(self.wildcards["method"])
        return 2 if entry is None else 1 + len(entry.get("variants", ()))


def method_cost(entry: dict) -> Callable[[int], float]:
    """Guided calls of a method at one step, given the number of words; 1 where it does not say."""
    from stepscope.methods.method import parameters_of

    function, parameters = parameters_of(entry)
    cost = getattr(function, "calls", None)
    return (lambda words: cost(words, parameters)) if cost else (lambda words: np.float64(1))
