"""What a study will cost: jobs, denoiser calls, hours and disk for each target, from dry runs."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stepscope.datasets import samples

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
# Guided calls a second where the model is not at hand, and values a traced step of a sample: one
# CPU thread, float32, the geometry of Stable Diffusion 1 at 512 px with random weights.
SHIPPED = {"rate": 0.05, "latent": (4, 64, 64), "label": "shipped CPU figure of SD 1 at 512 px"}
PROBE = 20  # guided calls that measure a model
COLUMNS = ("target", "jobs", "guided calls", "hours", "GB", "files")


def estimate(
    *, targets: list[str], snakefile: str, config: dict, prompts: dict, models: dict
) -> str:
    """Table, as text, of what is still to do for each target.

    Jobs come from dry runs, calls from the methods themselves, seconds a call and bytes a sample
    from a probe of 20 calls where a model lies in a folder. Hours are those of one job at a time.
    """
    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(lambda target: planned(target, snakefile, config), targets))
    needed = {wildcards["model"] for plan in plans for _, wildcards in plan if "model" in wildcards}
    measured = {name: measure(models[name], config) for name in sorted(needed)}
    rows = [
        (target, *total(plan, config, prompts, measured))
        for target, plan in zip(targets, plans, strict=True)
    ]
    lines = [
        "To do (finished jobs do not count; hours: one job at a time, so with N at a time 1/N):",
        ("{:<9}" + "{:>14}" * 5).format(*COLUMNS),
        *("{:<9}{:>14,}{:>14,.0f}{:>14.2f}{:>14.2f}{:>14,}".format(*row) for row in rows),
        *(
            f"{name}: {found['rate']:.3g} guided calls a second ({found['label']})"
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


def measure(spec: dict, config: dict) -> dict:
    """Guided calls a second, latent shape and bytes of a traced step and sample of a model."""
    if "folder" not in spec:
        return SHIPPED | {"bytes": _bytes(SHIPPED["latent"])}
    from stepscope import generation, models, tracing

    pipeline = models.load(spec)
    together = min(config["storage"]["forward_batch"], PROBE)
    common = {name: config[name] for name in ("guidance", "negative_prompt", "height", "width")}

    def run(steps: int) -> tracing.Trace:
        return tracing.generate(
            pipeline,
            ["a"] * together,
            list(range(together)),
            sampling={"kind": "uniform", "steps": steps},
            scheduler=config["scheduler"],
            roles=[{}] * together,
            **common,
        )[1]

    run(1)  # the first call prepares what later ones use
    steps = max(2, round(PROBE / together))
    start = time.perf_counter()
    trace = run(steps)
    seconds = time.perf_counter() - start
    arrays = generation.arrays(trace, config["storage"]["derived"])
    size = sum(values.nbytes for name, values in arrays.items() if "/" in name)
    return {
        "rate": together * steps / seconds,
        "latent": tuple(trace.latents.shape[2:]),
        "bytes": size / together / steps,
        "label": f"measured: {together * steps} traced calls on {models.device().type}",
    }


def _bytes(latent: tuple[int, int, int]) -> float:
    """Bytes of a traced step: five latents in float32 and attention of 12 tokens in float16."""
    channels, height, width = latent
    return 5 * channels * height * width * 4 + 12 * height * width * 2 * 4 / 3


def total(
    plan: list[tuple[str, dict]], config: dict, prompts: dict, measured: dict
) -> tuple[int, float, float, float, int]:
    """Jobs, guided calls, hours, GB and files of a plan."""
    calls = seconds = size = 0.0
    files = 0
    for rule, wildcards in plan:
        seconds += START_UP[rule not in START]
        files += 3  # the table or figure, its log, its benchmark
        if "model" not in wildcards:
            continue
        found = measured[wildcards["model"]]
        work = Work(config, prompts, wildcards, found["latent"])
        needed = work.calls(rule)
        calls += needed
        seconds += needed / found["rate"]
        more, count = work.stored(rule, found["bytes"])
        size += more
        files += count
    return len(plan), calls, seconds / 3600, size / 1e9, files


class Work:
    """What one job computes and stores."""

    def __init__(self, config: dict, prompts: dict, wildcards: dict, latent: tuple) -> None:
        """``prompts`` are the study's records by dataset, ``latent`` is (C, h, w)."""
        self.config, self.wildcards, self.latent = config, wildcards, latent
        rows = prompts[wildcards["dataset"]]
        mine = [row for row in rows if row["batch"] == wildcards["batch"]]
        self.words = [len(record["prompt"].split()) for record, _ in samples(mine)]
        sampling = config["samplings"][wildcards["sampling"]]
        self.steps = sampling.get("steps") or len(sampling["timesteps"])

    def calls(self, rule: str) -> float:
        """Guided denoiser calls of a job of this rule."""
        if rule == "generate":
            return len(self.words) * self.steps
        if rule == "explain":
            entry = self.config["explain"][self.wildcards["method"]]
            words, steps = self._restricted(entry)
            cost = method_cost(entry)
            return sum(cost(count) for count in words) * steps
        if rule == "play_games":
            words, steps = self._restricted(self.config["games"])
            moves = 2 * (self.latent[1] - 1)
            return len(words) * steps * (3 + moves * sum(1 for _ in self._maps()))
        return 0

    def stored(self, rule: str, traced: float) -> tuple[float, int]:
        """Bytes before compression, and files, of a job's store; tables hardly count."""
        count, (_, height, width) = len(self.words), self.latent
        if rule == "generate":
            return traced * count * self.steps, 40 + 6 * count
        if rule == "decode":
            side = self.config["probe"]["size"]
            return (9 * self.steps + 3) * side**2 * count, 20 + 2 * count
        if rule == "ground":
            return 4 * max(self.words) * (8 * height) * (8 * width) * count, 20 + count
        if rule == "explain":
            entry = self.config["explain"][self.wildcards["method"]]
            words, steps = self._restricted(entry)
            return 4 * sum(words) * steps * height * width, 20 + count
        return 0, 0

    def _restricted(self, entry: dict) -> tuple[list[int], int]:
        return self.words[: entry["samples"]], len(entry["steps"] or range(self.steps))

    def _maps(self) -> Iterator[str]:
        """Names of the maps that are played against each other, the two baselines included."""
        yield from ("random", "centre")
        for name, entry in self.config["explain"].items():
            if self.wildcards["sampling"] in (entry["samplings"] or self.config["samplings"]):
                yield from (name, *entry.get("variants", ()))


def method_cost(entry: dict) -> Callable[[int], float]:
    """Guided calls of a method at one step, given the number of words; 1 where it does not say."""
    from stepscope import explaining

    function, parameters = explaining.parameters_of(entry)
    cost = getattr(function, "calls", None)
    return (lambda words: cost(words, parameters)) if cost else (lambda words: np.float64(1))
