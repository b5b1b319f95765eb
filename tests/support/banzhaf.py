"""Exact Banzhaf values of small games, straight from their definition."""

from itertools import product

import numpy as np


def every_mask(size):
    """All masks of a grid, (2 ** pixels, h, w) bool, each followed by its complement."""
    half = [mask for mask in product((True, False), repeat=size[0] * size[1]) if mask[0]]
    firsts = np.array(half).reshape(-1, *size)
    return np.stack([firsts, ~firsts], 1).reshape(-1, *size)


def values(kept, worth):
    """Banzhaf value (h, w) of each pixel: what joining adds to a coalition, mean over all others.

    `kept` (masks, h, w) are all masks, `worth` (masks, h, w) the pixel's own game on each.
    """
    index = {mask.tobytes(): number for number, mask in enumerate(kept)}
    found = np.zeros(kept.shape[1:])
    for pixel in np.ndindex(found.shape):
        for number in np.flatnonzero(~kept[:, *pixel]):
            joined = kept[number].copy()
            joined[pixel] = True
            found[pixel] += worth[index[joined.tobytes()], *pixel] - worth[number, *pixel]
    return found / (len(kept) / 2)
