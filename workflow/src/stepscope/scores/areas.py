"""Areas under the curves of the games."""

import numpy as np
from scipy.interpolate import PchipInterpolator


def auc(curves: np.ndarray) -> np.ndarray:
    """Area under curves (..., move): (sum a - a_0 / 2 - a_n / 2) / n, the trapezoidal rule."""
    return np.trapezoid(curves, axis=-1) / (curves.shape[-1] - 1)


def auc_of_few(curves: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """Area under curves (..., move), NaN where one has NaN, of cubics between few points.

    Points lie at `shares` (move,), from 0 to 1, without them at equal distances.

    The trapezoidal rule is too large where curves are convex, as insertion's are; cubics that are
    monotone between points (PCHIP) overshoot nowhere, and amplify noise less than Simpson's rule.
    """
    known = np.isfinite(curves).all(-1)
    shares = np.linspace(0, 1, curves.shape[-1]) if shares is None else shares
    cubics = PchipInterpolator(shares, np.where(known[..., None], curves, 0), axis=-1)
    return np.where(known, cubics.integrate(0, 1), np.nan)[()]  # of one curve a number


def normalised(curves: np.ndarray, game: str) -> np.ndarray:
    """Curves (..., move) of a game between the untouched state, 1, and the one wholly changed, 0.

    So the scores of steps and samples, distances and cosines compare. NaN where the two are equal.
    """
    first, last = curves[..., :1], curves[..., -1:]
    untouched, changed = (first, last) if game == "deletion" else (last, first)
    apart = untouched - changed
    return (curves - changed) / np.where(apart == 0, np.nan, apart)
