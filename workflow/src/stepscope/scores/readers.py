"""Readers of concepts that a study names: functions of pictures, of the package or of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from stepscope import plugins

CLIP = "clip"  # the name of the probe's own reader
PLACEMENT = ("function", "samplings", "samples")  # keys of an entry that are no parameters


def read(
    pictures: np.ndarray, entry: Mapping[str, Any], families: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Probability (picture, concept) of each concept family that a reader reads.

    pictures (B, y, x, rgb) u1. `entry` names the `function`, which is called with pictures, the
    concepts by family and its own parameters. A family that the study does not have, or numbers of
    another shape, or below 0, or without a sum of 1, are a ValueError.
    """
    function = plugins.resolve(entry["function"])
    parameters = {key: value for key, value in entry.items() if key not in PLACEMENT}
    found = function(pictures, families, **parameters)
    if not found:
        raise ValueError(f"{entry['function']}: it reads none of the study's concept families.")
    checked = {}
    for family, values in found.items():
        probability = np.asarray(values, np.float64)
        wanted = (len(pictures), len(families.get(family, ())))
        if probability.shape != wanted:
            raise ValueError(
                f"{entry['function']}: {family} has numbers of shape {probability.shape}, not "
                f"{wanted}, pictures by concepts of the family."
            )
        if (probability < 0).any() or not np.allclose(probability.sum(1), 1):
            raise ValueError(
                f"{entry['function']}: the probabilities of {family} must be at least 0 and sum "
                "to 1 in each picture."
            )
        checked[family] = probability
    return checked


def margins(probability: np.ndarray) -> np.ndarray:
    """Log-ratio of each probability (..., concept) to the best other, in nats; NaN if infinite."""
    order = np.sort(probability, axis=-1)
    other = np.where(probability == order[..., -1:], order[..., -2:-1], order[..., -1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.log(probability) - np.log(other)
    return np.where(np.isfinite(margin), margin, np.nan)


def of_samples(pictures: xr.DataArray, samples: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Pictures (B, y, x, rgb) of some samples, and the shape that their numbers then have.

    pictures (sample, step, prediction, y, x, rgb); the shape is that of sample, step, prediction.
    """
    chosen = pictures.isel(sample=list(samples)).to_numpy()
    return chosen.reshape(-1, *chosen.shape[3:]), list(chosen.shape[:3])
