"""Per-pixel similarity of two predictions: the terms of SSIM, cosine and squared error."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["structure", "cosine", "luminance", "contrast", "ssim", "mse", "features"]
KINDS = get_args(Kind)
SIGMA = 1.5  # at every latent size: a smaller one leaves too few effective pixels for a correlation
LARGEST = 15  # the authors' window, for a 64 x 64 latent
EFFECTIVE = 9.0


def window_size(height: int, width: int) -> int:
    """Side of the SSIM window: the largest odd number up to half the latent's side, at most 15."""
    half = min(height, width) // 2
    return min(LARGEST, half - 1 + half % 2)


def gaussian_window(size: int, sigma: float = SIGMA) -> Tensor:
    """One axis (size,) of a Gaussian window whose weights sum to 1.

    Refuses a square window of fewer than nine effective pixels (1 / sum of squared weights):
    independent noise then looks correlated.
    """
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    effective = float(1 / (weights**2).sum() ** 2)
    if effective < EFFECTIVE:
        raise ValueError(
            f"window: {size} x {size} with sigma {sigma:g} has {effective:.1f} effective pixels, "
            f"fewer than {EFFECTIVE:g}."
        )
    return weights.float()


def blurred(images: Tensor, window: Tensor, padding: str) -> Tensor:
    """Local means (..., h, w) under a separable window; padding "reflect" or "constant" (0)."""
    side = len(window) // 2
    flat = images.reshape(-1, 1, *images.shape[-2:])
    flat = F.pad(flat, (side, side, side, side), mode=padding)
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))
    return flat.reshape(images.shape)


def similarity(kind: str, a: Tensor, b: Tensor, window: Tensor, *, span: float = 1.0) -> Tensor:
    """Per-pixel similarity (B, h, w) of b (B, C, h, w) with a (C, h, w), mean over channels.

    The terms of SSIM (Wang et al. 2004, eq. 6, 9 and 10) with C3 = C2 / 2 and reflect padding, and
    `ssim`, their product; `span` is the L of their constants, 1 since latents and noise have unit
    variance; taken from a sample, it would make a faint prediction look as sure as a strong one.
    `cosine` compares the channel vectors of a pixel, `mse` is minus the squared error. `official`
    is the structure term of the authors' code: twice the covariance above, zero padding.
    """
    if kind == "cosine":
        return F.cosine_similarity(a[None], b, dim=1)
    if kind == "mse":
        return -((a - b) ** 2).mean(1)
    padding = "constant" if kind == "official" else "reflect"
    mean_a, mean_b = blurred(a, window, padding), blurred(b, window, padding)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    if kind == "luminance":
        return luminance.mean(1)
    variance_a = (blurred(a * a, window, padding) - mean_a**2).clamp(min=0)
    variance_b = (blurred(b * b, window, padding) - mean_b**2).clamp(min=0)
    product = (variance_a * variance_b).sqrt()
    if kind == "contrast":
        return ((2 * product + c2) / (variance_a + variance_b + c2)).mean(1)
    covariance = blurred(a * b, window, padding) - mean_a * mean_b
    if kind == "ssim":
        return (luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean(1)
    factor = 2 if kind == "official" else 1
    return ((factor * covariance + c2 / 2) / (product + c2 / 2)).mean(1)
