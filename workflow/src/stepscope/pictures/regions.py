"""Masks on a grid: shares of its cells, and the region that a prompt's objects cover."""

import numpy as np
import xarray as xr
from scipy.ndimage import binary_dilation, distance_transform_edt

from stepscope.language import OBJECTS, is_thing

REGIONS = ("object", "background", "border")


def onto(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Masks (..., y, x) averaged over the cells of a grid of `size` (h, w) by exact area, f4."""
    rows, columns = (_overlaps(*pair) for pair in zip(mask.shape[-2:], size, strict=True))
    return (rows @ mask @ columns.T).astype(np.float32)


def _overlaps(fine: int, coarse: int) -> np.ndarray:
    """Share of each coarse cell that each fine one covers, (coarse, fine); rows sum to 1."""
    ends = np.arange(1, coarse + 1)[:, None] / coarse
    starts = ends - 1 / coarse
    upper, lower = np.arange(1, fine + 1) / fine, np.arange(fine) / fine
    return (np.minimum(ends, upper) - np.maximum(starts, lower)).clip(min=0) * coarse


def object_mask(masks: xr.DataArray) -> np.ndarray:
    """Where the objects of each sample are, (..., y, x) in [0, 1]; NaN where none has a mask.

    The largest over the words that are subject or object; in a prompt without these roles, over
    all words with a mask that are not attributes or background. masks: (..., word, y, x) with
    the coordinates word_text and word_role.
    """
    roles = masks["word_role"].to_numpy()
    named = np.isin(roles, OBJECTS)
    things = np.vectorize(is_thing, otypes=[bool])(masks["word_text"].to_numpy(), roles)
    chosen = np.where(named.any(axis=-1, keepdims=True), named, things)
    chosen = np.where(chosen[..., None, None], masks.to_numpy(), np.nan)
    return np.fmax.reduce(chosen, axis=-3)


def split(mask: np.ndarray) -> np.ndarray:
    """Object, background and border cells of the latent grid, (region, h, w) bool.

    `mask` (h, w) is the objects' share of each cell. An object cell is covered by half or more; the
    border is one cell (of the 8 around) outside. Each cell is in exactly one region; without a mask
    (NaN) in none.
    """
    inside = mask >= 0.5
    border = binary_dilation(inside, np.ones((3, 3))) & ~inside
    return np.stack([inside, ~inside & ~border, border]) & np.isfinite(mask)


def within(inside: np.ndarray, cells: float) -> np.ndarray:
    """Cells (h, w) bool at most so far from one that is inside (h, w), centre to centre."""
    return inside.any() & (distance_transform_edt(~inside) <= cells)
