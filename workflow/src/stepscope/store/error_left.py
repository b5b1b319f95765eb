"""The curve of the error that a sampling's steps leave, and the steps that a study names by it."""

import numpy as np
import pandas as pd

from stepscope.store import tables
from stepscope.timesteps import Steps, shares

COLUMNS = ("step", "timestep", "log_snr", "error_left")


def write_curve(path: str, curve: pd.DataFrame) -> None:
    """Write a curve, a row a step from the noisiest, with the columns `COLUMNS`."""
    tables.write(path, curve[list(COLUMNS)])


def named_steps(steps: Steps, curve: str | None) -> list[int] | None:
    """Numbers of the steps that an entry of the config names, from 1; None for all.

    A share of {"left": shares} is the first step of the table `curve` that leaves no more of the
    error, and the log says which. Shares that are passed at one step name it once; one that no step
    passes is a ValueError.
    """
    if not (named := shares(steps)):
        return None if steps is None else [*steps]
    if curve is None:
        raise ValueError("steps: shares of the error left need the curve of the sampling's traces.")
    table = tables.read(curve)
    numbers, left = table["step"].to_numpy(), table["error_left"].to_numpy()
    if unpassed := [share for share in named if not (left <= share).any()]:
        raise ValueError(
            f"steps: no step leaves {min(unpassed):g} of the error or less, the smallest share is "
            f"{np.min(left):.3g} ({curve})."
        )
    found = {share: int(numbers[np.argmax(left <= share)]) for share in named}
    for share, number in found.items():
        print(f"Error left {share:g}: step {number}, which leaves {left[number - 1]:.3g}.")
    return sorted(set(found.values()))
