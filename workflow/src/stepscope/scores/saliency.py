"""RQ1 from maps: how much of a step's map lies on objects, and how much on the picture's detail."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy import linalg
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


def rank_correlation(
    first: np.ndarray, second: np.ndarray, given: np.ndarray | None = None
) -> np.ndarray:
    """Spearman's correlation over the cells of maps (..., y, x), (...); NaN if one is constant.

    `given` (control, y, x) makes it partial: of what is left of the ranks when their regression on
    the controls is taken out, NaN where nothing is.
    """
    a, b = (_residual(_ranks(maps), given) for maps in (first, second))
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return (a * b).sum(-1) / np.where(scale > 0, scale, np.nan)


def _ranks(maps: np.ndarray) -> np.ndarray:
    """Ranks (..., cell) of the cells of each map (..., y, x), less their mean."""
    ranks = rankdata(maps.reshape(*maps.shape[:-2], -1), axis=-1, nan_policy="propagate")
    return ranks - ranks.mean(-1, keepdims=True)


def _residual(ranks: np.ndarray, given: np.ndarray | None) -> np.ndarray:
    """What the controls leave of ranks (..., cell); exactly 0 where that is rounding."""
    if given is None:
        return ranks
    if not np.isfinite(given).all():  # no object has a mask
        return np.full_like(ranks, np.nan)
    controls = given.reshape(len(given), -1)
    controls = controls - controls.mean(-1, keepdims=True)
    basis = linalg.orth(controls.T)  # of regions that there are
    left = ranks - ranks @ basis @ basis.T
    rounding = 1e-9 * np.linalg.norm(ranks, axis=-1, keepdims=True)
    return np.where(np.linalg.norm(left, axis=-1, keepdims=True) > rounding, left, 0)


def controls(objects: np.ndarray) -> np.ndarray:
    """What a map may follow of an object's place alone, (control, y, x), from its mask (y, x).

    Whether a cell is an object's or on its border, and the ranks of its share: whatever a map does
    between regions is no detail, since edges lie on objects too.
    """
    inside, _, border = regions.split(objects)
    return np.stack([inside, border, rankdata(objects).reshape(objects.shape)]).astype(np.float64)


def scores(maps: xr.DataArray, objects: np.ndarray, edges: np.ndarray) -> xr.Dataset:
    """semantic_mass, detail_correlation and detail_partial (sample, step) of maps.

    The last is the correlation with detail given where objects are (see `controls`). A constant
    map scores NaN, and so does detail_partial for one that only tells regions apart. maps (sample,
    step, y, x), objects and edges (sample, y, x) on the latent grid.
    """
    values = maps.transpose("sample", "step", "y", "x").to_numpy().astype(np.float64)
    empty = constant(values)
    mass = np.where(empty, np.nan, semantic_mass(values, objects[:, None]))
    partial = [
        rank_correlation(of_sample, edge, controls(mask))
        for of_sample, edge, mask in zip(values, edges, objects, strict=True)
    ]
    scored = {
        "semantic_mass": mass,
        "detail_correlation": rank_correlation(values, edges[:, None]),
        "detail_partial": np.array(partial),
    }
    return xr.Dataset({name: (("sample", "step"), array) for name, array in scored.items()})


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
    """Write a batch's part of rq1_saliency, over all methods' stores and the baselines."""
    tree, pictures = open_trace(traces), final_pictures(previews)
    maps_of_method = baselines.maps(tree, seed, pictures) | read_methods(maps, baselines.NAMES)
    frame = saliency_table(maps_of_method, tree, open_masks(masks), pictures, keys)
    tables.write(path, frame)
