"""RQ2: does a word's map find the word's region? Pointing game, IoU, average precision and mass."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from stepscope.joblog import bar
from stepscope.methods import baselines
from stepscope.pictures import regions
from stepscope.scores import saliency
from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import flat, open_masks, read_methods
from stepscope.store.traces import open_trace

BINS = 256  # of the histogram behind Otsu's threshold, as scikit-image has them
CELLS = (-2, -1)  # axes of maps and regions


class Scores(NamedTuple):
    """How well maps find regions, (...) f8 each; NaN where there is nothing to find."""

    pointing: np.ndarray
    iou: np.ndarray
    average_precision: np.ndarray
    mass: np.ndarray


def pointing(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share (...) of a map's largest cells that are in its region: 1 or 0 unless cells tie.

    The pointing game of Zhang et al. (2016) on the latent grid, without tolerance. maps and region
    (..., y, x), here and below, broadcast.
    """
    largest = maps == maps.max(CELLS, keepdims=True)
    return (largest & region).sum(CELLS) / largest.sum(CELLS)


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


def average_precision(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Average precision (...) of a map's values as scores of being in its region; NaN without one.

    The mean, over the region's cells, of the precision when all cells at least as large are taken;
    equal to scikit-learn's `average_precision_score`, ties included, at a tenth of its time.
    """
    found, taken = (
        rankdata(-values.reshape(*values.shape[:-2], -1), "max", axis=-1)
        for values in (np.where(region, maps, -np.inf), maps)
    )
    inside = region.reshape(*region.shape[:-2], -1)
    count = inside.sum(-1)
    return (found / taken * inside).sum(-1) / np.where(count > 0, count, np.nan)


def score(maps: np.ndarray, region: np.ndarray) -> Scores:
    """Pointing, IoU, average precision and mass of maps f8 against a region bool, (..., y, x) each.

    Mass is the share of the map in the region over the region's share of the area. It, pointing
    and IoU use max(map, 0), average precision ranks the signed map. A constant map, and a region
    that is empty or everything, scores NaN: there is nothing to find.
    """
    positive = np.maximum(maps, 0)
    findable = region.any(CELLS) & ~region.all(CELLS)
    ranked, shown = (findable & ~saliency.constant(values) for values in (maps, positive))
    return Scores(
        np.where(shown, pointing(positive, region), np.nan),
        np.where(shown, iou(positive, region), np.nan),
        np.where(ranked, average_precision(maps, region), np.nan),
        np.where(shown, saliency.semantic_mass(positive, region), np.nan),
    )


def scores(maps: xr.DataArray, masks: np.ndarray) -> xr.Dataset:
    """Scores (sample, step, word) f8 of maps (sample, step, [word], y, x).

    masks (sample, word, y, x) are shares of the latent grid's cells: half or more is inside, NaN
    is no region. A map without words is scored for every word.
    """
    values = maps.transpose("sample", "step", ..., "y", "x").to_numpy()
    known = np.isfinite(masks).all(CELLS)
    samples, words = known.shape
    arrays = np.full((len(Scores._fields), samples, maps.sizes["step"], words), np.nan)
    for sample in np.flatnonzero(known.any(1)):  # one by one: together they take much memory
        scored_words = known[sample]
        of_step = values[sample]
        of_step = of_step[:, scored_words] if "word" in maps.dims else of_step[:, None]
        computed = np.isfinite(of_step).all(CELLS)[..., None, None]
        of_step = np.where(computed, of_step, 0).astype(np.float64)
        of_sample = arrays[:, sample]  # a view
        of_sample[..., scored_words] = score(of_step, masks[sample, scored_words] >= 0.5)
    return xr.Dataset(
        {
            name: (("sample", "step", "word"), array)
            for name, array in zip(Scores._fields, arrays, strict=True)
        }
    )


def grounding_table(
    maps: dict[str, xr.DataArray], tree: xr.DataTree, masks: xr.DataArray, keys: dict[str, str]
) -> pd.DataFrame:
    """rq2_grounding of a batch: a row per sample, step, word with a region, and method.

    Rows whose scores are NaN are constant maps, or regions that are empty on the latent grid.
    """
    frames = []
    coords = tables.who_and_when(tree) | word_coordinates(tree)
    for method, values in bar(list(maps.items()), "methods grounded"):
        cells = regions.onto(masks.to_numpy(), (values.sizes["y"], values.sizes["x"]))
        scored = scores(values, cells).assign_coords(coords)
        mapped = xr.apply_ufunc(np.isfinite, values.reset_coords(drop=True)).all(("y", "x"))
        region = xr.DataArray(np.isfinite(cells).all((-2, -1)), dims=("sample", "word"))
        kept = (mapped & region).transpose("sample", "step", "word")
        frame = tables.tidy(scored, keys).assign(method=method)
        frames.append(frame[kept.to_numpy().ravel()])
    return tables.ordered(pd.concat(frames), "rq2_grounding")


def write_grounding(
    path: str, *, traces: str, masks: str, maps: Sequence[str], keys: dict[str, str], seed: int
) -> None:
    """Write a batch's part of rq2_grounding: every method, and the random and centre maps.

    A method without words has one map a step, which is held against every word's region.
    """
    tree = open_trace(traces)
    stored = read_methods(maps, baselines.NAMES)
    of_words = {name: values for name, values in stored.items() if "word" in values.dims}
    maps_of_method = baselines.maps(tree, seed) | flat(stored) | of_words
    tables.write(path, grounding_table(maps_of_method, tree, open_masks(masks), keys))
