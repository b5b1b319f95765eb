"""What is left to do for a target, as a dry run of Snakemake tells it."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
AMOUNT = re.compile(r"(\w+)=(\d+)(?=,|$)")


class Planned(NamedTuple):
    """A job: its rule, wildcards, files, and what it takes of resources that are numbers.

    A target that only collects has no outputs.
    """

    rule: str
    wildcards: Mapping[str, str] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    resources: Mapping[str, int] = {}


def planned(target: str, snakefile: str, config: dict[str, Any]) -> list[Planned]:
    """Every job that a dry run of `target` plans; ValueError if that fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--dry-run"]
        command += ["--nocolor", "--cores", "1", "--configfile", file.name, "--", target]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{target}: the dry run failed: {done.stderr or done.stdout}")
    return read(done.stdout + done.stderr)


def read(printed: str) -> list[Planned]:
    """The jobs in what a dry run printed."""
    jobs = []
    for rule, block in JOB.findall(printed):
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
        inputs, outputs, wildcards = (
            tuple(_items(fields.get(name))) for name in ("input", "output", "wildcards")
        )
        amounts = AMOUNT.findall(fields.get("resources", ""))
        jobs.append(
            Planned(
                rule,
                dict(pair.split("=", 1) for pair in wildcards),
                inputs,
                outputs,
                {name: int(amount) for name, amount in amounts},
            )
        )
    return jobs


def _items(text: str | None) -> list[str]:
    return text.split(", ") if text else []
