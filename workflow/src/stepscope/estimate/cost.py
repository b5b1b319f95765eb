"""What a study will cost: jobs, denoiser calls, hours and disk for each target, from dry runs."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from stepscope.estimate import trace_size
from stepscope.progress.forecast import key

if TYPE_CHECKING:  # it imports torch
    from stepscope.estimate.measure import Measurement

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
LOADING = {"generate", "decode", "ground", "explain", "play_games", "probe"}  # rules with a model
# Seconds before a job begins that loads a model, and one that does not, on one CPU thread.
LOADED, BARE = 8.0, 4.0
OWN_FILES = 3  # of any job: the table or figure, its log, its benchmark
COLUMNS = ("target", "jobs", "guided calls", "pictures", "hours", "GB", "files")


class Needs(NamedTuple):
    """What one job needs: guided calls, decoded pictures, and its store's bytes and files.

    Bytes are those before compression; tables hardly count.
    """

    calls: float = 0
    pictures: int = 0
    size: float = 0
    files: int = 0


def estimate(
    *,
    targets: list[str],
    snakefile: str,
    config: dict[str, Any],
    prompts: dict[str, list[dict[str, Any]]],
    models: dict[str, dict[str, Any]],
    kept: str,
) -> str:
    """Table, as text, of what is still to do for each target; `kept` gets the seconds of each job.

    Jobs come from dry runs, calls from the methods themselves, bytes from the model's geometry.
    Seconds a call, seconds a decoded picture and memory come from a measurement of 20 calls where
    a model is at hand. Hours are those of one job at a time.
    """
    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(lambda target: planned(target, snakefile, config), targets))
    needed = {wildcards["model"] for plan in plans for _, wildcards in plan if "model" in wildcards}
    measured: dict[str, Measurement] = {}
    if needed:
        # takes seconds to import, and often nothing is left to do
        from stepscope.estimate.measure import measure

        measured = {name: measure(models[name], config) for name in sorted(needed)}
    seconds: dict[str, float] = {}
    rows = [
        (target, *total(plan, config, prompts, measured, seconds))
        for target, plan in zip(targets, plans, strict=True)
    ]
    keep(kept, seconds)
    lines = [
        "To do (finished jobs do not count; hours: one job at a time, so with N at a time 1/N; "
        "GB: before compression):",
        ("{:<9}" + "{:>14}" * 6).format(*COLUMNS),
        *("{:<9}{:>14,}{:>14,.0f}{:>14,}{:>14.2f}{:>14.2f}{:>14,}".format(*row) for row in rows),
        *(
            f"{name}: {model['rate']:.3g} guided calls and {model['decoding']:.3g} decoded "
            f"pictures a second, in memory {model['weights'] / 1e9:.2g} GB and "
            f"{model['sample'] / 1e9:.2g} GB a sample of a forward batch ({model['label']})"
            for name, model in measured.items()
        ),
    ]
    return "\n".join(lines)


def planned(
    target: str, snakefile: str, config: dict[str, Any]
) -> list[tuple[str, dict[str, str]]]:
    """(rule, wildcards) of every job that a dry run of `target` plans; ValueError if that fails."""
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
    plan: list[tuple[str, dict[str, str]]],
    config: dict[str, Any],
    prompts: dict[str, list[dict[str, Any]]],
    measured: Mapping[str, "Measurement"],
    seconds: dict[str, float],
) -> tuple[int, float, int, float, float, int]:
    """Jobs, guided calls, decoded pictures, hours, GB and files of a plan.

    `seconds` gets those of each job, by its key (see `progress`).
    """
    calls = size = hours = 0.0
    pictures = files = 0
    for rule, wildcards in plan:
        took = LOADED if rule in LOADING else BARE
        files += OWN_FILES
        if "model" in wildcards:
            model = measured[wildcards["model"]]
            job = Work(config, prompts, wildcards, model).needs(rule)
            calls += job.calls
            pictures += job.pictures
            took += job.calls / model["rate"] + job.pictures / model["decoding"]
            size += job.size
            files += job.files
        hours += took / 3600
        seconds[key(rule, wildcards)] = took
    return len(plan), calls, pictures, hours, size / 1e9, files


def keep(path: str, seconds: dict[str, float]) -> None:
    """Write seconds of jobs by their keys into a JSON file, beside those of jobs it has already."""
    file, before = Path(path), {}
    with suppress(OSError, ValueError):
        before = json.loads(file.read_text(encoding="utf-8"))
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(before | seconds, indent=1), encoding="utf-8")
    os.replace(temporary, file)


class Work:
    """What one job computes and stores."""

    def __init__(
        self,
        config: dict[str, Any],
        prompts: dict[str, list[dict[str, Any]]],
        wildcards: dict[str, str],
        model: "Measurement",
    ) -> None:
        """`prompts` are the study's records by dataset."""
        self.config, self.wildcards, self.model = config, wildcards, model
        self.geometry = model["geometry"]
        rows = prompts[wildcards["dataset"]]
        records = [row for row in rows if row["batch"] == wildcards["batch"]]
        self.words = [len(record["prompt"].split()) for record in records for _ in record["seeds"]]
        tokens = max(trace_size.tokens(record["prompt"]) for record in records)
        self.rows = tokens * self.geometry.texts
        sampling = config["samplings"][wildcards["sampling"]]
        self.steps = sampling.get("steps") or len(sampling["timesteps"])

    def needs(self, rule: str) -> Needs:
        """What a job of this rule needs; nothing where the rule neither computes nor stores."""
        return self._BY_RULE[rule](self) if rule in self._BY_RULE else Needs()

    def _generate(self) -> Needs:
        count, scheduler = len(self.words), self.config["scheduler"]
        calls = self.steps
        if self.config["datasets"][self.wildcards["dataset"]]["trace"] == "invert":
            from stepscope.tracing.real_pictures import ITERATIONS

            calls = self.steps * (1 + ITERATIONS) + 2
        traced = trace_size.trace_bytes(
            self.geometry,
            steps=self.steps,
            rows=self.rows,
            order=scheduler["order"] if scheduler["name"] == "dpmsolver++" else 1,
            dtype=self.model["dtype"],
            derived=self.config["storage"]["derived"],
        )
        return Needs(calls=count * calls, size=traced * count, files=40 + 6 * count)

    def _decode(self) -> Needs:
        count, side = len(self.words), self.config["probe"]["size"]
        return Needs(
            pictures=count * (3 * self.steps + 1),  # both halves and guided a step, and the final
            size=(9 * self.steps + 3) * side**2 * count,
            files=20 + 2 * count,
        )

    def _ground(self) -> Needs:
        count, (_, height, width) = len(self.words), self.geometry.latent
        pixels = height * width * self.geometry.factor**2
        return Needs(size=4 * max(self.words) * pixels * count, files=20 + count)

    def _explain(self) -> Needs:
        entry = self.config["explain"][self.wildcards["method"]]
        words, steps = self._restricted(entry)
        cost, (_, height, width) = method_cost(entry), self.geometry.latent
        return Needs(
            calls=sum(cost(count) for count in words) * steps,
            size=4 * sum(words) * steps * height * width,
            files=20 + len(self.words),
        )

    def _play_games(self) -> Needs:
        """A game's every call is decoded: three of its start and end, and those of each map."""
        words, steps = self._restricted(self.config["games"])
        _, height, _ = self.geometry.latent
        inner = 2 * ((self.config["games"]["moves"] or height) - 1)
        calls = len(words) * steps * (3 + inner * self._maps())
        return Needs(calls=calls, pictures=calls)

    _BY_RULE: ClassVar[Mapping[str, Callable[["Work"], Needs]]] = {
        "generate": _generate,
        "decode": _decode,
        "ground": _ground,
        "explain": _explain,
        "play_games": _play_games,
    }

    def _restricted(self, entry: dict[str, Any]) -> tuple[list[int], int]:
        """Numbers of words of the samples, and the number of steps, that an entry asks for."""
        return self.words[: entry["samples"]], len(entry["steps"] or range(self.steps))

    def _maps(self) -> int:
        """Number of maps that a job plays: a method with its variants, or the two baselines."""
        entry = self.config["explain"].get(self.wildcards["method"])
        return 2 if entry is None else 1 + len(entry.get("variants", ()))


def method_cost(entry: dict[str, Any]) -> Callable[[int], float]:
    """Guided calls of a method at one step, given the number of words; 1 where it does not say."""
    from stepscope.methods.method import parameters_of

    function, parameters = parameters_of(entry)
    cost = getattr(function, "calls", None)
    return (lambda words: cost(words, parameters)) if cost else (lambda words: np.float64(1))
