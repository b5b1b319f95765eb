"""Occlusion: how much less alike a prediction gets when a window slides over the latent."""

from typing import Annotated

import numpy as np
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import perturbation
from stepscope.methods.method import method
from stepscope.methods.perturbation import Score
from stepscope.methods.quantities import Quantity
from stepscope.methods.similarity import Kind


@method(
    smallest=10,  # the window of the similarity would have too few effective pixels
    calls=lambda words, p: p["positions"] ** 2 + 2,
    target="similarity of the prediction with its own when a window of the latent is hidden",
    features="windows of the latent, all channels at once, hidden = 0",
    held_fixed="time step, conditioning, guidance",
    halves={"quantity": ("prompt",)},
)
@torch.inference_mode()
def occlusion(
    denoiser: Denoiser,
    step: Step,
    *,
    positions: Annotated[int, {"minimum": 1}] = 7,
    similarity: Kind = "structure",
    quantity: Quantity = "noise",
    score: Score = "mean",
    block: Annotated[int, {"minimum": 1}] = 64,
) -> np.ndarray:
    """Map (h, w) float32: the mean drop of the score over the windows that a pixel lies in.

    Zeiler and Fergus (2014) on the latent, with the similarities, quantities and scores of DF-RISE;
    a map of few windows is coarse. A window has as many `positions` along each side, evenly spaced,
    and lies over half of its neighbour (see `windows`), so that every pixel is in one, whatever
    the latent's size. A wrong parameter, an unknown name and a missing region are ValueErrors.
    """
    if positions < 1 or block < 1:
        raise ValueError(f"positions: {positions}, block: {block}: at least 1 of each is needed.")
    perturbation.check(similarity, quantity, score)
    height, width = step.latent.shape[-2:]
    hidden = windows((height, width), positions)
    # number 0 hides nothing
    kept = np.concatenate([np.ones((1, height, width), dtype=bool), ~hidden])
    found = perturbation.scores(
        denoiser,
        step,
        lambda part: kept[part.start : part.stop],
        len(kept),
        similarity=similarity,
        quantity=quantity,
        score=score,
        block=block,
    ).astype(np.float64)
    drops = np.where(hidden, found[0] - found[1:], 0)
    return (drops.sum(0) / hidden.sum(0)).astype(np.float32)


def windows(size: tuple[int, int], positions: int) -> np.ndarray:
    """Windows (N, h, w) bool that lie over each other by half, `positions` along each side.

    Of a side shorter than that, as many as it has cells; together they hold every cell.
    """
    rows, columns = (_along(side, positions) for side in size)
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, *size)


def _along(side: int, positions: int) -> np.ndarray:
    """Windows along one side, (positions, side) bool."""
    length = -(-2 * side // (positions + 1))
    starts = np.unique(np.linspace(0, side - length, positions).round().astype(int))
    cells = np.arange(side)
    return (cells >= starts[:, None]) & (cells < starts[:, None] + length)
