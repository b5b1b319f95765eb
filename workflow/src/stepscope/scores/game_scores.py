"""Scores of the games: how near a state's result is to that of the untouched latent."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stepscope.methods.similarity import gaussian_window

WINDOW = 11  # of SSIM, as of Wang et al. (2004), with sigma 1.5


class Score(NamedTuple):
    """What of the results is compared, how, and the column of its area.

    `compare` takes B results and one result, both with a leading axis, and gives (B,) numbers.
    """

    of: Literal["latent", "picture", "features"]
    compare: Callable[[Tensor, Tensor], Tensor]
    area: Literal["auc_distance", "auc_similarity"]


def squared_distance(features: Tensor, reference: Tensor) -> Tensor:
    """Squared distance (B,) of features (B, width) from a reference (1, width)."""
    return ((features - reference) ** 2).sum(-1)


def cosine(features: Tensor, reference: Tensor) -> Tensor:
    """Cosine (B,) of features (B, width) with a reference (1, width)."""
    return F.cosine_similarity(features, reference, dim=-1)


def mean_squared_error(latents: Tensor, reference: Tensor) -> Tensor:
    """Mean square (B,) of the elements of latents (B, C, h, w) less a reference (1, C, h, w)."""
    return ((latents.float() - reference.float()) ** 2).mean((1, 2, 3))


def ssim(pictures: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (B,) of pictures (B, 3, y, x) in [0, 1] with a reference (1, 3, y, x).

    Wang et al. (2004), eq. 13, with their window and constants, averaged over channels and over
    the places where the whole window is in the picture; in one of fewer pixels it is as large as
    fits.
    """
    a, b = pictures.float(), reference.float()
    side = min(a.shape[-2:])
    window = gaussian_window(min(WINDOW, side - 1 + side % 2)).to(a)
    # matrices (places, pixels) of an axis: on pictures of few pixels their products take a third of
    # the time of convolutions of one channel
    down, across = (
        torch.eye(n, device=a.device).unfold(0, len(window), 1) @ window for n in a.shape[-2:]
    )

    def mean(images: Tensor) -> Tensor:
        return down @ images @ across.T

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean((1, 2, 3))


SCORES: Mapping[str, Score] = {
    "clip_distance": Score("features", squared_distance, "auc_distance"),
    "clip_cosine": Score("features", cosine, "auc_similarity"),
    "latent_error": Score("latent", mean_squared_error, "auc_distance"),
    "ssim": Score("picture", ssim, "auc_similarity"),
}


def compared(
    scores: list[str], results: Mapping[str, Tensor], reference: Mapping[str, Tensor]
) -> Tensor:
    """Scores (score, B) f8 on the CPU of B results by what they are, with one result of each."""
    found = [
        SCORES[name].compare(*(of[SCORES[name].of] for of in (results, reference)))
        for name in scores
    ]
    return torch.stack([one.double().cpu() for one in found])
