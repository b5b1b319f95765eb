"""LIME: a linear model of what hiding superpixels of the picture does to a step's prediction."""

import math
from typing import Annotated

import numpy as np
import torch
from skimage.segmentation import slic
from sklearn.linear_model import Ridge
from torch.nn.functional import interpolate

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import perturbation
from stepscope.methods.masks import EVEN, draw_masks
from stepscope.methods.method import method
from stepscope.methods.perturbation import Score
from stepscope.methods.quantities import Quantity
from stepscope.methods.similarity import Kind


@method(
    smallest=10,  # the window of the similarity would have too few effective pixels
    calls=lambda words, p: p["masks"] + 1,
    target="similarity of the prediction with its own under masks of the latent",
    features="superpixels of the decoded clean prediction, all channels at once, hidden = 0",
    held_fixed="time step, conditioning, guidance",
    halves={"quantity": ("prompt",)},
)
@torch.inference_mode()
def lime(
    denoiser: Denoiser,
    step: Step,
    *,
    masks: Annotated[int, {"minimum": 2}] = 1000,
    segments: Annotated[int, {"minimum": 1}] = 50,
    width: Annotated[float, {"exclusiveMinimum": 0}] = 0.25,
    alpha: Annotated[float, {"exclusiveMinimum": 0}] = 1.0,
    similarity: Kind = "structure",
    quantity: Quantity = "noise",
    score: Score = "mean",
    block: Annotated[int, {"minimum": 1}] = 64,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Map (h, w) float32 and its standard error: the coefficient of each pixel's superpixel.

    Ribeiro et al. (2016). About so many `segments` are found in the decoded guided clean
    prediction (see `superpixels`), and each is hidden in half of the `masks`, but for the first,
    which hides nothing. The score is fitted by ridge regression (`alpha`), each mask weighted by
    its nearness to the whole picture (see `locality`, `width`); a "pixel" score has a model a
    pixel. `similarity`, `quantity` and `score` are those of DF-RISE. The error is over masks,
    and knows nothing of what `alpha` shrinks. A wrong parameter, an unknown name and a missing
    region are ValueErrors.
    """
    finite = all(math.isfinite(value) and value > 0 for value in (width, alpha))
    if masks < 2 or segments < 1 or block < 1 or not finite:
        raise ValueError(
            f"masks: {masks}, segments: {segments}, width: {width}, alpha: {alpha}, block: {block}:"
            " a linear model needs at least 2 masks, 1 segment, blocks of 1, and a finite width "
            "and alpha above 0."
        )
    perturbation.check(similarity, quantity, score)
    labels = superpixels(denoiser, step, segments)
    shown = draw_masks(seed, step, 0, masks, EVEN, (1, labels.max() + 1))[:, 0]
    shown[0] = True
    found = perturbation.scores(
        denoiser,
        step,
        lambda part: shown[part.start : part.stop, labels],
        masks,
        similarity=similarity,
        quantity=quantity,
        score=score,
        block=block,
    )
    values, errors = coefficients(shown, found.reshape(masks, -1), locality(shown, width), alpha)
    pixels = np.arange(labels.size).reshape(labels.shape) if values.shape[1] > 1 else 0
    effect, error = (of[labels, pixels].astype(np.float32) for of in (values, errors))
    return effect, error


@torch.no_grad()
def superpixels(denoiser: Denoiser, step: Step, segments: int) -> np.ndarray:
    """Number (h, w) from 0 of the SLIC superpixel of each latent cell, about `segments` of them.

    Of the decoded guided clean prediction, averaged onto the cells of the latent.
    """
    size = step.latent.shape[-2:]
    picture = denoiser.decode(step.denoised[None].to(denoiser.device)).float()
    colours = interpolate(picture, size, mode="area")[0].permute(1, 2, 0).cpu().numpy()
    # on so few cells, joining what is not connected may leave one superpixel alone
    labels = slic(colours, n_segments=segments, start_label=0, enforce_connectivity=False)
    return np.unique(labels, return_inverse=True)[1].reshape(size)


def locality(shown: np.ndarray, width: float) -> np.ndarray:
    """Weights (N,) of masks of superpixels (N, K) bool: exp(-d^2 / width^2), rooted.

    d is the cosine distance from the mask that shows all; one that shows nothing is at 1.
    """
    distance = 1 - np.sqrt(shown.mean(1))
    return np.exp(-(distance**2) / width**2 / 2)


def coefficients(
    shown: np.ndarray, scores: np.ndarray, weights: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (K, score) of superpixels and their standard errors, by weighted ridge.

    `shown` (N, K) bool, `scores` (N, score), `weights` (N,). Ridge is linear in the scores, so
    that fitting the unit vectors gives the weight of each score in each coefficient, and in each
    prediction. The errors allow for any variance (HC2: MacKinnon and White, 1985).
    """
    units = np.eye(len(shown))
    model = Ridge(alpha=alpha).fit(shown.astype(np.float64), units, sample_weight=weights)
    of_scores, hat = model.coef_, model.predict(shown)  # (N, K), (N, N) by unit last
    values = scores.astype(np.float64)
    residual = values - hat @ values
    free = 1 - np.diagonal(hat)[:, None]
    squares = np.where(free > 1e-9, residual**2 / np.where(free > 1e-9, free, 1), 0)
    return of_scores.T @ values, np.sqrt((of_scores.T**2) @ squares)
