"""RQ1: how far the states of the games are from latents that the model was trained on."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import baselines
from stepscope.methods.replaying import replaying
from stepscope.scores.frequencies import BANDS, bands
from stepscope.scores.game_states import key_of, ranking, states
from stepscope.scores.substrates import SUBSTRATES, Parts, parts_of
from stepscope.store import tables
from stepscope.store.error_left import named_steps
from stepscope.store.traces import chosen_steps, open_trace, read_pairs
from stepscope.table_registry import TABLES

CHANGED = (0.5, 1.0)  # shares of the pixels
FLAT = "flat"  # what `signal` leaves where the clean prediction is right: the yardstick of others


def squares(latent: np.ndarray) -> np.ndarray:
    """Sums of squares (4,) f8 of a latent (C, h, w): all, and its bands without the mean."""
    wave = np.abs(np.fft.fft2(latent.astype(np.float64), norm="ortho")) ** 2
    wave[:, 0, 0] = 0
    within = (wave * bands(latent.shape[-2:])[:, None]).sum((1, 2, 3))
    return np.array([np.square(latent, dtype=np.float64).sum(), *within])


def squares_of_flat(parts: Parts) -> np.ndarray:
    """`squares` to be expected of a picture of one colour at the step's noise level."""
    channels, height, width = parts.latent.shape
    cells = bands((height, width)).sum((1, 2)) - np.eye(len(BANDS))[0]  # the mean is in no band
    expected = channels * cells * parts.noise_level**2
    mean = parts.signal_level * parts.clean.mean((-2, -1)).double().numpy()
    whole = channels * parts.noise_level**2 + height * width * np.sum(mean**2)
    return np.array([expected.sum() + whole, *expected])


def distances(denoiser: Denoiser, step: Step, seed: int) -> Iterator[dict[str, Any]]:
    """A row a substrate and share of pixels changed, drawn at random: ratios to x_t's own.

    Of norms, and of variances by thirds of the radial frequencies.
    """
    parts = parts_of(denoiser, step, seed)
    own = squares(parts.latent.numpy())
    names = ("changed", seed, step.prompt_id, step.seed, step.number)
    order = torch.from_numpy(
        ranking(np.zeros(parts.latent.shape[-2:]), baselines.generator(*names))
    )
    found = {
        (name, share): squares(state.numpy())
        for name, of in SUBSTRATES.items()
        for share, state in zip(
            CHANGED, states(order[None], parts.latent, of(parts), len(CHANGED))[0, 1:], strict=True
        )
    }
    found[FLAT, 1.0] = squares_of_flat(parts)
    for (name, share), values in found.items():
        norm, *variances = values / own
        yield {"substrate": name, "changed": share, "norm": np.sqrt(norm)} | {
            f"variance_{band}": ratio for band, ratio in zip(BANDS, variances, strict=True)
        }


def write_distances(
    path: str,
    *,
    traces: str,
    error_left: str | None,
    model: dict[str, Any],
    games: Mapping[str, Any],
    keys: dict[str, str],
    seed: int,
) -> None:
    """Write a batch's part of rq1_substrates, at the steps and samples of `games`."""
    tree = open_trace(traces)
    denoiser = replaying(model, tree)
    pairs = chosen_steps(tree, named_steps(games["steps"], error_left), games["samples"])
    rows = [
        {**keys, **key_of(step), **row}
        for step in read_pairs(tree, pairs)
        for row in distances(denoiser, step, seed)
    ]
    frame = pd.DataFrame(rows, columns=TABLES["rq1_substrates"].columns)
    tables.write(path, tables.ordered(frame, "rq1_substrates"))
