"""RQ2: does a word's map find the word's region? Pointing game, IoU, average precision and mass."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata
from skimage.filters import threshold_otsu

from stepscope.joblog import bar
from stepscope.methods import baselines
from stepscope.pictures import regions
from stepscope.scores import saliency
from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import flat, open_masks, read_methods
from stepscope.store.traces import open_trace


class Scores(NamedTuple):
    """How well a map finds a region; NaN where there is nothing to find."""

    pointing: float = np.nan
    iou: float = np.nan
    average_precision: float = np.nan
    mass: float = np.nan


def pointing(values: np.ndarray, region: np.ndarray) -> float:
    """Share of the map's largest cells that are in the region: 1 or 0 unless cells tie.

    The pointing game of Zhang et al. (2016) on the latent grid, without tolerance.
    """
    return float(region[values == values.max()].mean())


def iou(values: np.ndarray, region: np.ndarray) -> float:
    """Overlap of the region with the map's cells above Otsu's threshold, over their union.

    Otsu's threshold splits the map's own values into two classes: it looks at no region, so no
    scored picture chooses it.
    """
    above = values > threshold_otsu(values)
    return float((above & region).sum() / (above | region).sum())


def average_precision(values: np.ndarray, region: np.ndarray) -> float:
    """Average precision of the map's values as scores of being in the region.

    The mean, over the region's cells, of the precision when all cells at least as large are taken;
    equal to scikit-learn's `average_precision_score`, ties included, at a tenth of its time.
    """
    taken = rankdata(-values, "max", axis=None).reshape(values.shape)[region]
    return float((rankdata(-values[region], "max") / taken).mean())


def score(values: np.ndarray, region: np.ndarray) -> Scores:
    """Pointing, IoU, average precision and mass of a map (y, x) against a region (y, x) bool.

    Mass is the share of the map in the region over the region's share of the area. It, pointing
    and IoU use max(map, 0), average precision ranks the signed map. A constant map, and a region
    that is empty or everything, scores NaN: there is nothing to find.
    """
    positive = np.maximum(values, 0)
    if not values.max() > values.min() or region.all() or not region.any():
        return Scores()
    precision = average_precision(values, region)
    if not positive.max() > positive.min():
        return Scores(average_precision=precision)
    mass = float(saliency.semantic_mass(positive, region))
    return Scores(pointing(positive, region), iou(positive, region), precision, mass)


def scores(maps: xr.DataArray, masks: np.ndarray) -> xr.Dataset:
    """Scores (sample, step, word) f8 of maps (sample, step, [word], y, x).

    masks (sample, word, y, x) are shares of the latent grid's cells: half or more is inside, NaN
    is no region. A map without words is scored for every word.
    """
    values = maps.transpose("sample", "step", ..., "y", "x").to_numpy().astype(np.float64)
    if "word" not in maps.dims:
        values = values[:, :, None]
    samples, words, *_ = masks.shape
    steps = maps.sizes["step"]
    grid = (samples, steps, words)
    computed = np.broadcast_to(np.all(np.isfinite(values), axis=(-2, -1)), grid)
    values = np.broadcast_to(values, (*grid, maps.sizes["y"], maps.sizes["x"]))
    arrays = {name: np.full(grid, np.nan) for name in Scores._fields}
    for sample, word in zip(*np.nonzero(np.all(np.isfinite(masks), axis=(-2, -1))), strict=True):
        region = masks[sample, word] >= 0.5
        for step in range(steps):
            if computed[sample, step, word]:
                scored = score(values[sample, step, word], region)
                for name, array in arrays.items():
                    array[sample, step, word] = getattr(scored, name)
    return xr.Dataset({name: (("sample", "step", "word"), array) for name, array in arrays.items()})


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
    """Write a batch's part of rq2_grounding: every method, and the two baselines.

    A method without words has one map a step, which is held against every word's region.
    """
    tree = open_trace(traces)
    stored = read_methods(maps, baselines.NAMES)
    of_words = {name: values for name, values in stored.items() if "word" in values.dims}
    maps_of_method = baselines.maps(tree, seed) | flat(stored) | of_words
    tables.write(path, grounding_table(maps_of_method, tree, open_masks(masks), keys))
