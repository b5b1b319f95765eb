"""The curve of the error that a sampling's steps leave, and the steps that a study names by it."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stepscope.models.weight_files import read_json
from stepscope.timesteps import Steps, shares

KEYS = ("step", "timestep", "log_snr", "error_left")


def write_curve(path: str, curve: Mapping[str, np.ndarray]) -> None:
    """Write a curve as JSON, under each of the `KEYS` a value a step, from the noisiest."""
    lists = {key: np.asarray(curve[key]).tolist() for key in KEYS}
    Path(path).write_text(json.dumps(lists, indent=1) + "\n", encoding="utf-8")


def read_curve(path: str) -> dict[str, np.ndarray]:
    """A stored curve, (step,) under each of the `KEYS`; a torn one raises ValueError."""
    stored = read_json(Path(path))
    return {key: np.array(stored[key]) for key in KEYS}


def named_steps(steps: Steps, curve: str | None) -> list[int] | None:
    """Numbers of the steps that an entry of the config names, from 1; None for all.

    A share of {"left": shares} is the first step of the file `curve` that leaves no more of the
    error, and the log says which. Shares that are passed at one step name it once; one that no step
    passes is a ValueError.
    """
    if not (named := shares(steps)):
        return None if steps is None else [*steps]
    if curve is None:
        raise ValueError("steps: shares of the error left need the curve of the sampling's traces.")
    stored = read_curve(curve)
    numbers, left = stored["step"], stored["error_left"]
    if unpassed := [share for share in named if not (left <= share).any()]:
        raise ValueError(
            f"steps: no step leaves {min(unpassed):g} of the error or less, the smallest share is "
            f"{np.min(left):.3g} ({curve})."
        )
    found = {share: int(numbers[np.argmax(left <= share)]) for share in named}
    for share, number in found.items():
        print(f"Error left {share:g}: step {number}, which leaves {left[number - 1]:.3g}.")
    return sorted(set(found.values()))
