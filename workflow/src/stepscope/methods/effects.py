"""What keeping a pixel does to a score, from random masks: a regression on its neighbourhood.

Pixels are kept independently of each other, so that the coefficient of a pixel estimates
E[s | kept] - E[s | hidden], whatever else the score depends on and however: its Banzhaf value. What
its neighbours do to the score would be noise in a difference of two means; the regression takes it
out, and as many masks then give a smaller standard error (Lin, 2013: regression adjustment).
"""

import numpy as np

RADII = (2, 1, 0)  # of the neighbourhood; 0 is the difference of means
MASKS_EACH = 4  # masks for each coefficient, at least
TOGETHER = 2**22  # numbers of the regressors that are held at once


def radius_for(masks: int) -> int:
    """The largest radius whose coefficients so many masks tell apart."""
    return next((r for r in RADII if masks >= MASKS_EACH * ((2 * r + 1) ** 2 + 1)), 0)


def main_effects(
    kept: np.ndarray, scores: np.ndarray, radius: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Effect (h, w) of each pixel on its score and the effect's standard error, float64.

    `kept` (masks, h, w) bool; `scores` (masks, h, w), or (masks, 1, 1) for one score of all pixels.
    The error allows for any variance (HC2: MacKinnon and White, 1985); at radius 0 it is Welch's.
    `radius` None is that of `radius_for`.
    """
    masks, height, width = kept.shape
    radius = radius_for(masks) if radius is None else radius
    side = 2 * radius + 1
    padded = np.pad(kept, ((0, 0), (radius, radius), (radius, radius))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    scores = np.broadcast_to(scores, kept.shape)
    effects, errors = np.empty((height, width)), np.empty((height, width))
    rows = max(1, TOGETHER // (masks * (side**2 + 1) * width))
    for start in range(0, height, rows):
        part = slice(start, start + rows)
        # (pixel, mask, coefficient): the pixel itself is in the middle, the constant comes last
        regressors = windows[:, part].reshape(masks, -1, side**2).swapaxes(0, 1)
        regressors = np.concatenate([regressors, np.ones((*regressors.shape[:2], 1))], 2)
        values = scores[:, part].reshape(masks, -1).T
        found = _coefficients(regressors, values, own=side**2 // 2)
        effects[part], errors[part] = (one.reshape(-1, width) for one in found)
    return effects, errors


def _coefficients(x: np.ndarray, y: np.ndarray, own: int) -> tuple[np.ndarray, np.ndarray]:
    """One coefficient of each of P regressions of y (P, N) on x (P, N, K), and its error.

    A column of zeros, beyond the latent's border, has no part in it.
    """
    inverse = np.linalg.pinv(x.swapaxes(1, 2) @ x, hermitian=True)
    projected = x @ inverse  # (P, N, K)
    residual = y - (x @ (projected.swapaxes(1, 2) @ y[..., None]))[..., 0]
    leverage = (projected * x).sum(2)
    weight = projected[..., own]
    with np.errstate(invalid="ignore"):  # NaN: a pixel that was kept or hidden once
        error = np.sqrt((weight**2 * residual**2 / (1 - leverage)).sum(1))
    return (weight * y).sum(1), error
