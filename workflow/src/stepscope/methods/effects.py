"""What keeping a pixel does to a score, from random masks: E[s | kept] - E[s | hidden].

In a mask, pixels are kept independently of each other, each with the probability `keep`. At 0.5 the
effect is the pixel's Banzhaf value in the game whose players are the pixels and whose worth is the
score, and using every mask for every pixel is its estimation by maximum sample reuse (Wang and Jia,
2023). What other pixels do to the score is noise in it. A linear model takes out what is near: of
the neighbours, or of a coarse grid for one score of all pixels. Its prediction is subtracted, and
its known effect added back (regression adjustment: Lin, 2013). Each observation is predicted by the
model of the others, so that the estimate stays unbiased whatever the score is (cross-fitting: Wager
et al., 2016). In orthogonal masks it is out by design, and the model is for the error alone.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from stepscope.methods.masks import Design

RADII = (3, 2, 1, 0)  # of the neighbourhood; 0 is the difference of means
GRIDS = (8, 4, 2, 1)  # cells a side of the coarse grid
# Observations for each coefficient, at least. With fewer, a coefficient's own error outweighs what
# it takes out; in orthogonal masks it has no part in the effect, and 64 are enough for radius 3.
EACH = {"independent": 4, "paired": 4, "orthogonal": 1.25}
TINY = 1e-10  # added to squared lengths of regressors, some of which are zeros alone
TOGETHER = 2**22  # numbers of the regressors that are held at once
Others: TypeAlias = Callable[[slice], np.ndarray]


def radius_for(coefficients: float) -> int:
    """The largest radius of a neighbourhood of at most so many coefficients, with the constant."""
    return next((r for r in RADII if coefficients >= (2 * r + 1) ** 2 + 1), 0)


def main_effects(
    kept: np.ndarray,
    scores: np.ndarray,
    *,
    keep: float = 0.5,
    design: Design = "independent",
    adjusted: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Effect (h, w) of each pixel on its score and the effect's standard error, float64.

    `kept` (masks, h, w) bool; `scores` (masks, h, w), or (masks, 1, 1) for one score of all pixels.
    Of `paired` masks, every second one its predecessor's complement, half of the pair's difference
    is the observation, free of all that an even number of pixels do together; one left over has no
    part. Not `adjusted` it is a difference of means. The error allows for any variance (HC2:
    MacKinnon and White, 1985); without adjustment and pairs it is Welch's.
    """
    if paired := design == "paired":
        end = len(kept) // 2 * 2
        kept, scores = kept[:end:2], (scores[:end:2].astype(np.float64) - scores[1:end:2]) / 2
    observations, height, width = kept.shape
    signs = kept - keep  # of mean 0
    most = observations / EACH[design] if adjusted else 0
    single = scores.shape[1:] == (1, 1) and adjusted
    others = _coarse(signs, most) if single else _neighbours(signs, radius_for(most))
    scores = np.broadcast_to(scores, kept.shape)
    effects, errors = np.empty((height, width)), np.empty((height, width))
    coefficients = others(slice(0, 1)).shape[2] + 2
    rows = max(1, TOGETHER // (observations * coefficients * width))
    for start in range(0, height, rows):
        part = slice(start, start + rows)
        own = signs[:, part].reshape(observations, -1, 1)
        # half of a pair's difference has no constant
        columns = [own, others(part), *([] if paired else [np.ones_like(own)])]
        x = np.concatenate(columns, axis=2).swapaxes(0, 1)  # (pixel, observation, coefficient)
        y = scores[:, part].reshape(observations, -1).T.astype(np.float64)
        found = _effects(x, y, keep * (1 - keep))
        effects[part], errors[part] = (one.reshape(-1, width) for one in found)
    return effects, errors


def _neighbours(signs: np.ndarray, radius: int) -> Others:
    """Of rows of pixels, the signs (N, pixel, K) of each one's neighbours, 0 beyond the border."""
    side = 2 * radius + 1
    padded = np.pad(signs, ((0, 0), (radius, radius), (radius, radius)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))

    def others(part: slice) -> np.ndarray:
        window = windows[:, part].reshape(len(signs), -1, side**2)
        return np.delete(window, side**2 // 2, axis=2)

    return others


def _coarse(signs: np.ndarray, coefficients: float) -> Others:
    """Of rows of pixels, mean signs (N, pixel, K) of all others in each cell of a coarse grid.

    The grid is the finest that so many coefficients allow; of a small latent, its own.
    """
    _, height, width = signs.shape
    own = [(height, width)] if height * width <= GRIDS[0] ** 2 else []
    grids = [*own, *((g, g) for g in GRIDS if g <= min(height, width))]
    down, across = next((g for g in grids if coefficients >= g[0] * g[1] + 2), (1, 1))
    row, column = np.arange(height) * down // height, np.arange(width) * across // width
    shares = np.eye(down * across)[row[:, None] * across + column]  # (h, w, K)
    shares /= shares.sum((0, 1))
    means = np.tensordot(signs, shares, 2)[:, None]  # (N, 1, K)

    def others(part: slice) -> np.ndarray:
        theirs = signs[:, part, :, None] * shares[part]
        return means - theirs.reshape(len(signs), -1, down * across)

    return others


def _effects(x: np.ndarray, y: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Effects (P,) of the first regressor, and errors, of P models of y (P, N) by x (P, N, K).

    A regression without an observation follows from that of all. What it leaves of the observation
    has, where it goes with the pixel, the effect that the model lacks; `variance` is the pixel's. A
    column of zeros, beyond the latent's border, has no part in it.
    """
    gram = x.swapaxes(1, 2) @ x
    weights = x @ np.linalg.inv(gram + TINY * np.eye(gram.shape[-1]))  # of y in the coefficients
    residual = y - (x @ (weights.swapaxes(1, 2) @ y[..., None]))[..., 0]
    free, own = 1 - (weights * x).sum(2), weights[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN: a pixel kept or hidden once
        left = np.where(free > 1e-9, residual / free, 0)  # by the model of the others
        error = np.sqrt((own**2 * residual**2 / free).sum(1))
    return (own * y).sum(1) + ((x[..., 0] / variance - own) * left).mean(1), error
