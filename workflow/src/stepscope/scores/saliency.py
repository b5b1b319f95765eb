"""RQ1 from maps: how much of a step's map lies on objects, and how much on the picture's detail."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from stepscope.methods import baselines
from stepscope.pictures import regions
from stepscope.store import tables
from stepscope.store.maps import final_pictures, flat, open_masks, read_methods
from stepscope.store.traces import open_trace


def constant(maps: np.ndarray) -> np.ndarray:
    """Whether maps (..., y, x) say the same everywhere, and so nothing; NaN maps count as such."""
    flat = maps.reshape(*maps.shape[:-2], -1)
    return ~(flat.max(-1) > flat.min(-1))


def semantic_mass(maps: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Share of max(map, 0) inside objects over their share of the area, (...); 1 is no preference.

    maps (..., y, x) and objects (..., y, x) in [0, 1] broadcast; NaN without positive values or
    without objects.
    """
    positive = np.maximum(maps, 0)
    total, area = positive.sum((-2, -1)), objects.mean((-2, -1))
    inside = (positive * objects).sum((-2, -1))
    has_both = (total > 0) & (area > 0)
    return np.where(has_both, inside, np.nan) / np.where(has_both, total * area, 1)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation over the cells of maps (..., y, x), (...); NaN if one is constant."""
    ranks = [
        rankdata(maps.reshape(*maps.shape[:-2], -1), axis=-1, nan_policy="propagate")
        for maps in (first, second)
    ]
    a, b = (ranks_of_maps - ranks_of_maps.mean(-1, keepdims=True) for ranks_of_maps in ranks)
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return (a * b).sum(-1) / np.where(scale > 0, scale, np.nan)


def scores(maps: xr.DataArray, objects: np.ndarray, edges: np.ndarray) -> xr.Dataset:
    """semantic_mass and detail_correlation (sample, step) of maps (sample, step, y, x).

    A constant map scores NaN. objects and edges are (sample, y, x) on the latent grid.
    """
    values = maps.transpose("sample", "step", "y", "x").to_numpy().astype(np.float64)
    empty = constant(values)
    mass = np.where(empty, np.nan, semantic_mass(values, objects[:, None]))
    return xr.Dataset(
        {
            "semantic_mass": (("sample", "step"), mass),
            "detail_correlation": (("sample", "step"), rank_correlation(values, edges[:, None])),
        }
    )


def saliency_table(
    maps: dict[str, xr.DataArray],
    tree: xr.DataTree,
    masks: xr.DataArray,
    pictures: np.ndarray,
    keys: dict[str, str],
) -> pd.DataFrame:
    """rq1_saliency of a batch: a row per sample, step and method with a map there.

    maps (sample, step, [word | layer], y, x) by method, masks (sample, word, y, x). Detail is
    the edge strength of the *final* picture (sample, y, x, rgb) u1 at every step, so that only the
    map changes with the step.
    """
    frames = []
    for method, values in flat(maps).items():
        size = values.sizes["y"], values.sizes["x"]
        objects = regions.onto(regions.object_mask(masks), size)
        edges = np.stack([baselines.edge(picture, size) for picture in pictures])
        scored = scores(values, objects, edges).assign_coords(tables.who_and_when(tree))
        computed = np.isfinite(values.transpose("sample", "step", "y", "x").to_numpy()).any((2, 3))
        frame = tables.tidy(scored, keys)[computed.ravel()]
        frames.append(frame.assign(method=method))
    return tables.ordered(pd.concat(frames), "rq1_saliency")


def write_saliency(
    path: str,
    *,
    traces: str,
    previews: str,
    masks: str,
    maps: Sequence[str],
    keys: dict[str, str],
    seed: int,
) -> None:
    """Write a batch's part of rq1_saliency, over all methods' stores and the two baselines."""
    tree = open_trace(traces)
    maps_of_method = baselines.maps(tree, seed) | read_methods(maps, baselines.NAMES)
    pictures = final_pictures(previews)
    frame = saliency_table(maps_of_method, tree, open_masks(masks), pictures, keys)
    tables.write(path, frame)
