"""What a study will cost: jobs, denoiser calls, hours and disk for each target, from dry runs."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stepscope import geometry
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
# For models that are not at hand; written by tests/benchmarks/bench_sd1.py.
SHIPPED = Path(__file__).with_name("benchmark.json")
PROBE = 20  # guided calls that measure a model
PATIENCE = 60  # seconds after which fewer must do
COLUMNS = ("target", "jobs", "guided calls", "hours", "GB", "files")


def estimate(
    *, targets: list[str], snakefile: str, config: dict, prompts: dict, models: dict
) -> str:
    """Table, as text, of what is still to do for each target.

    Jobs come from dry runs, calls from the methods themselves, bytes from the model's geometry,
    seconds a call and memory from a probe of 20 calls where a model is at hand. Hours are those of
    one job at a time.
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
        "To do (finished jobs do not count; hours: one job at a time, so with N at a time 1/N; "
        "GB: before compression):",
        ("{:<9}" + "{:>14}" * 5).format(*COLUMNS),
        *("{:<9}{:>14,}{:>14,.0f}{:>14.2f}{:>14.2f}{:>14,}".format(*row) for row in rows),
        *(
            f"{name}: {found['rate']:.3g} guided calls a second, in memory "
            f"{found['weights'] / 1e9:.2g} GB and {found['sample'] / 1e9:.2g} GB a sample of a "
            f"forward batch ({found['label']})"
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
    """Guided calls a second, geometry, and bytes of weights and of a sample in memory of a model.

    A model that was not fetched is taken for Stable Diffusion 1, of which figures are shipped.
    """
    from stepscope import devices, folders, memory, models, tracing

    size = config["height"], config["width"]
    number = 4 if spec["dtype"] == "float32" else 2
    try:
        place = folders.place(spec)
    except ValueError:
        if "folder" in spec:
            raise
        shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
        return {
            "dtype": spec["dtype"],
            "rate": shipped["rate"],
            "geometry": geometry.of_configs(geometry.STABLE_DIFFUSION_1, geometry.KEYS, *size),
            "weights": shipped["parameters"] * number,
            "sample": shipped["sample"] * number / 4,
            "label": f"shipped, not measured: {shipped['label']}; no GPU was at hand",
        }
    pipeline, (_, texts) = models.load(spec), models.load_texts(spec)
    together = config["storage"]["forward_batch"]
    together = min(PROBE, 8 if together == "auto" else together)

    def run(steps: int) -> float:
        start = time.perf_counter()
        tracing.generate(
            pipeline,
            ["a"] * together,
            list(range(together)),
            sampling={"kind": "uniform", "steps": steps},
            scheduler=config["scheduler"],
            roles=[{}] * together,
            guidance=config["guidance"],
            negative_prompt=config["negative_prompt"],
            height=size[0],
            width=size[1],
        )
        return time.perf_counter() - start

    with memory.Peak(devices.device()) as peak:
        first = run(1)  # the first call also prepares what later ones use
    steps = max(1, min(round(PROBE / together), int(PATIENCE / first)))
    files = folders.check_folder(place, spec.get("variant"))
    return {
        "dtype": spec["dtype"],
        "rate": together * steps / run(steps),
        "geometry": geometry.of_folder(place, [text.length for text in texts], *size),
        "weights": folders.parameters(files) * number,
        "sample": peak.bytes / together,
        "label": f"measured: {together * steps} traced calls on {devices.device().type}",
    }


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
        work = Work(config, prompts, wildcards, found)
        needed = work.calls(rule)
        calls += needed
        seconds += needed / found["rate"]
        more, count = work.stored(rule)
        size += more
        files += count
    return len(plan), calls, seconds / 3600, size / 1e9, files


class Work:
    """What one job computes and stores."""

    def __init__(self, config: dict, prompts: dict, wildcards: dict, model: dict) -> None:
        """``prompts`` are the study's records by dataset, ``model`` is what ``measure`` found."""
        self.config, self.wildcards, self.model = config, wildcards, model
        self.geometry = model["geometry"]
        rows = prompts[wildcards["dataset"]]
        mine = [row for row in rows if row["batch"] == wildcards["batch"]]
        self.words = [len(record["prompt"].split()) for record, _ in samples(mine)]
        tokens = max(geometry.tokens(record["prompt"]) for record in mine)
        self.rows = tokens * self.geometry.texts
        sampling = config["samplings"][wildcards["sampling"]]
        self.steps = sampling.get("steps") or len(sampling["timesteps"])

    def calls(self, rule: str) -> float:
        """Guided denoiser calls of a job of this rule."""
        if rule == "generate":
            from stepscope.inversion import ITERATIONS

            invert = self.config["datasets"][self.wildcards["dataset"]]["trace"] == "invert"
            return len(self.words) * (self.steps * (1 + invert * ITERATIONS) + invert)
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

    def stored(self, rule: str) -> tuple[float, int]:
        """Bytes before compression, and files, of a job's store; tables hardly count."""
        count, (_, height, width) = len(self.words), self.geometry.latent
        if rule == "generate":
            scheduler = self.config["scheduler"]
            traced = geometry.trace_bytes(
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
    from stepscope import explaining

    function, parameters = explaining.parameters_of(entry)
    cost = getattr(function, "calls", None)
    return (lambda words: cost(words, parameters)) if cost else (lambda words: np.float64(1))
