"""Whether a map finds a region: pointing, IoU at three thresholds, average precision and mass."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.stats import rankdata

from stepscope.scores import saliency

BINS = 256  # of the histogram behind Otsu's threshold, as scikit-image has them
CELLS = (-2, -1)  # axes of maps and regions
NEAR = 1 / 16  # of the grid's shorter side: about the 15 pixels of Zhang et al. (2016)
LEVELS = 20  # thresholds that are tried on held-out samples, as shares of a map's largest value


class Scores(NamedTuple):
    """How well maps find regions, (...) f8 each; NaN where there is nothing to find."""

    pointing: np.ndarray
    pointing_near: np.ndarray
    iou: np.ndarray
    iou_best: np.ndarray
    average_precision: np.ndarray
    mass: np.ndarray


def pointing(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share (...) of a map's largest cells that are in its region: 1 or 0 unless cells tie.

    The pointing game of Zhang et al. (2016) on the latent grid. maps and region (..., y, x), here
    and below, broadcast.
    """
    largest = maps == maps.max(CELLS, keepdims=True)
    return (largest & region).sum(CELLS) / largest.sum(CELLS)


def grown(region: np.ndarray) -> np.ndarray:
    """Cells (..., y, x) that are in a region or at most a sixteenth of the grid away from it.

    Rounded to whole cells, at least one, along both axes: the tolerance of the pointing game.
    """
    cells = tolerance(min(region.shape[-2:]))
    size = (*[1] * (region.ndim - 2), 2 * cells + 1, 2 * cells + 1)
    return maximum_filter(region, size, mode="constant", cval=0)


def tolerance(side: int) -> int:
    """Cells by which a map's largest cell may miss its region, for a grid's shorter side."""
    return max(1, round(NEAR * side))


def iou(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Overlap (...) of a region with its map's cells above Otsu's threshold, over their union.

    Otsu's threshold splits the map's own values into two classes: it looks at no region, so no
    scored picture chooses it.
    """
    above = maps > otsu(maps)[..., None, None]
    union = (above | region).sum(CELLS)
    return (above & region).sum(CELLS) / np.where(union > 0, union, np.nan)


def otsu(maps: np.ndarray) -> np.ndarray:
    """Otsu's threshold (...) f8 of each map (..., y, x) f8: the centre of one of 256 bins.

    The split of the map's histogram that leaves most of the variance between its two sides (Otsu
    1979). Equal to scikit-image's `threshold_otsu`, which takes one map at a time; of a constant
    map it is its value.
    """
    values = maps.reshape(-1, maps.shape[-2] * maps.shape[-1])
    least, most = values.min(1), values.max(1)
    span = np.where(most > least, most - least, 1)
    edges = np.linspace(least, most, BINS + 1, axis=1)
    bins = ((values - least[:, None]) / span[:, None] * BINS).astype(np.intp).clip(max=BINS - 1)
    bins -= values < np.take_along_axis(edges, bins, 1)  # the division may be off by a rounding
    bins += (values >= np.take_along_axis(edges, bins + 1, 1)) & (bins < BINS - 1)
    bins += BINS * np.arange(len(values))[:, None]
    counts = np.bincount(bins.ravel(), minlength=BINS * len(values)).reshape(-1, BINS)
    centres = (edges[:, 1:] + edges[:, :-1]) / 2
    (below, low), (above, high) = (
        (np.cumsum(count, 1)[:, :-1], np.cumsum(count * centre, 1)[:, :-1])
        for count, centre in ((counts, centres), (counts[:, ::-1], centres[:, ::-1]))
    )
    means_apart = low / below - (high / np.maximum(above, 1))[:, ::-1]  # 0 only of constant maps
    best = (below * above[:, ::-1] * means_apart**2).argmax(1)
    found = np.where(most > least, centres[np.arange(len(best)), best], least)
    return found.reshape(maps.shape[:-2])


def ranking(maps: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and best IoU (...) of a map's values as thresholds; NaN without a region.

    Average precision is the mean, over the region's cells, of the precision when all cells at least
    as large are taken: equal to scikit-learn's `average_precision_score`, ties included, at a tenth
    of its time. The best IoU is that of the best of these thresholds: it looks at the region, and
    so bounds what any threshold would give.
    """
    found, taken = (
        rankdata(-values.reshape(*values.shape[:-2], -1), "max", axis=-1)
        for values in (np.where(region, maps, -np.inf), maps)
    )
    inside = region.reshape(*region.shape[:-2], -1)
    count = inside.sum(-1)
    precision = (found / taken * inside).sum(-1) / np.where(count > 0, count, np.nan)
    best = np.where(inside, found / np.maximum(taken + count[..., None] - found, 1), 0).max(-1)
    return precision, np.where(count > 0, best, np.nan)


def score(maps: np.ndarray, region: np.ndarray, near: np.ndarray | None = None) -> Scores:
    """Scores of maps f8 against a region bool, (..., y, x) each; `near` is the region grown.

    Mass is the share of the map in the region over the region's share of the area. It, pointing
    and IoU by Otsu's threshold use max(map, 0), the others rank the signed map. A constant map, and
    a region that is empty or everything, scores NaN: there is nothing to find.
    """
    near = grown(region) if near is None else near
    positive = np.maximum(maps, 0)
    findable = region.any(CELLS) & ~region.all(CELLS)
    ranked, shown = (findable & ~saliency.constant(values) for values in (maps, positive))
    precision, best = ranking(maps, region)
    return Scores(
        np.where(shown, pointing(positive, region), np.nan),
        np.where(shown, pointing(positive, near), np.nan),
        np.where(shown, iou(positive, region), np.nan),
        np.where(ranked, best, np.nan),
        np.where(ranked, precision, np.nan),
        np.where(shown, saliency.semantic_mass(positive, region), np.nan),
    )


def iou_curves(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """IoU (..., level) f8 with the cells at or above each of 20 shares of a map's largest value.

    maps (..., y, x) f8 count as max(map, 0). NaN where `score` has nothing to find.
    """
    positive, region = np.broadcast_arrays(np.maximum(maps, 0), region)
    largest = positive.max(CELLS, keepdims=True)
    level = (positive / np.where(largest > 0, largest, 1) * LEVELS).astype(np.intp)
    level = level.clip(max=LEVELS - 1).reshape(*positive.shape[:-2], -1)
    inside = region.reshape(level.shape)
    place = level + LEVELS * np.arange(level[..., 0].size).reshape(*level.shape[:-1], 1)
    taken, hit = (
        np.bincount(place.ravel(), weights, minlength=LEVELS * level[..., 0].size)
        .reshape(*level.shape[:-1], LEVELS)[..., ::-1]
        .cumsum(-1)[..., ::-1]
        for weights in (None, inside.ravel().astype(np.float64))
    )
    curves = hit / (taken + inside.sum(-1, keepdims=True) - hit)
    findable = region.any(CELLS) & ~region.all(CELLS) & ~saliency.constant(positive)
    return np.where(findable[..., None], curves, np.nan)


def held_out(curves: np.ndarray, prompts: np.ndarray, roles: np.ndarray) -> np.ndarray:
    """IoU (sample, step, word) f8 at the level that is best on average over the other prompts.

    `curves` (sample, step, word, level), `prompts` (sample,), `roles` (sample, word) of text; a
    level is chosen for each step and role, whose regions are alike, over all samples and words of
    other prompts (cross-fitting). NaN without such words in another prompt.
    """
    found = np.full(curves.shape[:-1], np.nan)
    samples, steps = np.arange(len(curves))[:, None], np.arange(curves.shape[1])
    for role in np.unique(roles):
        of_role = (roles == role)[:, None, :, None] & np.isfinite(curves)
        total = np.where(of_role, curves, 0).sum(2)  # (sample, step, level)
        count = of_role[..., 0].sum(2)  # (sample, step)
        others = total.sum(0) - total_of(prompts, total)
        known = count.sum(0) - total_of(prompts, count)
        best = others.argmax(-1)  # (sample, step); as many words at every level
        at_best = curves[samples, steps, :, best]  # (sample, step, word)
        found = np.where(of_role[..., 0] & (known > 0)[..., None], at_best, found)
    return found


def total_of(prompts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums (sample, ...) of values (sample, ...) over the samples of each sample's prompt."""
    same = (prompts[:, None] == prompts).astype(np.float64)
    return np.tensordot(same, values, 1)
