"""Ways of choosing time steps, by what a study says of a sampling.

A Snakefile imports this module, so it uses the standard library alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

TRAINED = 1000  # time steps of the noise schedule the models were trained on


def timesteps(sampling: Mapping[str, Any]) -> list[int] | None:
    """Time steps of a sampling from noisy to clean; None where the scheduler spaces them itself.

    Kinds: uniform, early and latter (the paper's exponential sampling, denser at the noisy and at
    the clean end), custom. `sampling` has kind, steps, gamma, timesteps as the kind needs them.
    """
    match sampling["kind"]:
        case "uniform":
            return None
        case "custom":
            chosen = list(sampling["timesteps"])
            if not _descends(chosen):
                raise ValueError("timesteps: a custom sampling must descend without repeating.")
            return chosen
        case "early" | "latter" as kind:
            steps, gamma = sampling["steps"], sampling["gamma"]
            chosen = _exponential(kind, steps, gamma)
            if not _descends(chosen):
                raise ValueError(
                    f"gamma: {gamma} makes {kind} sampling with {steps} steps repeat a time step; "
                    + _remedy(kind, steps)
                )
            return chosen
    raise ValueError(
        f"kind: {sampling['kind']!r} is no sampling (uniform, early, latter or custom)."
    )


def _descends(chosen: Sequence[int]) -> bool:
    """Whether each time step is cleaner than the one before."""
    return all(a > b for a, b in itertools.pairwise(chosen))


def _exponential(kind: str, steps: int, gamma: int | float) -> list[int]:
    """Time steps e_k = floor(T^((k + gamma) / (N + gamma))), k = 1..N, or T - e_k reversed."""
    # T^(N + gamma over N + gamma) is T itself, which floating point may miss from below
    powers = [math.floor(TRAINED ** ((k + gamma) / (steps + gamma))) for k in range(1, steps)]
    if kind == "latter":
        return [TRAINED - 1, *sorted(powers, reverse=True)]
    return [TRAINED - 1, *(TRAINED - power for power in powers)]


def _remedy(kind: str, steps: int) -> str:
    for gamma in range(TRAINED):
        if _descends(_exponential(kind, steps, gamma)):
            return f"the smallest that works is {gamma}."
    return "no gamma works with so many steps."
