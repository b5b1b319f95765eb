"""RQ1 from maps: how much of a step's map lies in each region, and how much on the detail."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from scipy import linalg
from scipy.stats import rankdata

from stepscope.methods import baselines
from stepscope.pictures import regions
from stepscope.store import tables
from stepscope.store.maps import (
    final_pictures,
    flat,
    ground_of,
    open_masks,
    read_errors,
    read_methods,
)
from stepscope.store.traces import open_trace

POINTING = 15 / 224  # tolerance of the pointing game, of a picture's side (Zhang et al. 2016)
LEAST = 0.1  # reliability below which a correlation is not corrected


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


def pointing(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share (...) of the cells with a map's largest value that are in its region: 1 or 0 but ties.

    The pointing game of Zhang et al. (2016), with max(map, 0). maps (..., y, x) and region (..., y,
    x) bool, grown by the `tolerance`, broadcast; NaN for a region that is empty or everything, and
    for a map that is constant above zero.
    """
    positive = np.maximum(maps, 0)
    largest = positive == positive.max((-2, -1), keepdims=True)
    shares = (largest & region).sum((-2, -1)) / largest.sum((-2, -1)).clip(min=1)
    findable = region.any((-2, -1)) & ~region.all((-2, -1))
    return np.where(findable & ~constant(positive), shares, np.nan)


def tolerance(size: tuple[int, int]) -> int:
    """Cells of a grid (h, w) by which a map may miss its region: 15 pixels of 224, at least 1."""
    return max(round(POINTING * min(size)), 1)


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


def reliability(maps: np.ndarray, errors: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Share (...) of what controls leave of maps (..., y, x) that is no error, at most 1.

    From the standard errors of the cells: in expectation the correlation of the map's two halves,
    raised to the whole by Spearman and Brown's formula. `given` (control, y, x); NaN without errors
    or where the controls leave nothing; it may be negative.
    """
    values = maps.reshape(*maps.shape[:-2], -1)
    left = _residual(values - values.mean(-1, keepdims=True), given)
    basis = _basis(given)
    free = 1 - 1 / values.shape[-1] - (basis**2).sum(-1)  # share of a cell's error that is left
    noise = (free * errors.reshape(values.shape) ** 2).sum(-1)
    whole = (left**2).sum(-1)
    return 1 - noise / np.where(whole > 0, whole, np.nan)


def corrected(correlation: np.ndarray, reliable: np.ndarray) -> np.ndarray:
    """The correlation that a map without errors would have (Spearman 1904); NaN below `LEAST`."""
    return correlation / np.sqrt(np.where(reliable >= LEAST, reliable, np.nan))


def _ranks(maps: np.ndarray) -> np.ndarray:
    """Ranks (..., cell) of the cells of each map (..., y, x), less their mean."""
    ranks = rankdata(maps.reshape(*maps.shape[:-2], -1), axis=-1, nan_policy="propagate")
    return ranks - ranks.mean(-1, keepdims=True)


def _basis(given: np.ndarray) -> np.ndarray:
    """Orthonormal basis (cell, n) of controls (control, y, x) less their means; NaN of unknown."""
    controls = given.reshape(len(given), -1)
    if not np.isfinite(controls).all():  # no object has a mask
        return np.full((controls.shape[1], 1), np.nan)
    controls = controls - controls.mean(-1, keepdims=True)
    return linalg.orth(controls.T)  # of regions that there are


def _residual(centred: np.ndarray, given: np.ndarray | None) -> np.ndarray:
    """What the controls leave of values (..., cell) of mean 0; exactly 0 where that is rounding."""
    if given is None:
        return centred
    basis = _basis(given)
    left = centred - centred @ basis @ basis.T
    rounding = 1e-9 * np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.where(np.linalg.norm(left, axis=-1, keepdims=True) <= rounding, 0, left)


def controls(objects: np.ndarray) -> np.ndarray:
    """What a map may follow of an object's place alone, (control, y, x), from its mask (y, x).

    Whether a cell is an object's or on its border, and the ranks of its share: whatever a map does
    between regions is no detail, since edges lie on objects too.
    """
    inside, _, border = regions.split(objects)
    return np.stack([inside, border, rankdata(objects).reshape(objects.shape)]).astype(np.float64)


def scores(
    maps: xr.DataArray,
    objects: np.ndarray,
    edges: np.ndarray,
    errors: xr.DataArray | None = None,
) -> xr.Dataset:
    """The quantities of rq1_saliency (sample, step) of maps (sample, step, y, x).

    Masses of the regions, pointing at the objects, and the correlation with detail: as it is, given
    where objects are (`detail_partial`, see `controls`), and this without the map's own error
    (`detail_corrected`, by `detail_reliability`), which only maps with standard `errors` have. A
    constant map scores NaN, and so does detail_partial for one that only tells regions apart.
    objects and edges (sample, y, x) are on the latent grid.
    """
    values = _array(maps)
    error = np.full_like(values, np.nan) if errors is None else _array(errors)
    inside, background, border = np.moveaxis(np.array([*map(regions.split, objects)]), 1, 0)
    cells = tolerance(values.shape[-2:])
    near = np.array([regions.within(mask, cells) for mask in inside])
    masses = {
        "semantic_mass": objects,
        "background_mass": np.where(np.isfinite(objects), background, np.nan),
        "border_mass": np.where(np.isfinite(objects), border, np.nan),
    }
    empty = constant(values)
    scored = {
        name: np.where(empty, np.nan, semantic_mass(values, region[:, None]))
        for name, region in masses.items()
    }
    given = [controls(mask) for mask in objects]
    of_samples = zip(values, error, edges, given, strict=True)
    partial, reliable = np.moveaxis(
        np.array(
            [
                (rank_correlation(of, edge, known), reliability(of, wrong, known))
                for of, wrong, edge, known in of_samples
            ]
        ),
        1,
        0,
    )
    scored |= {
        "pointing": pointing(values, near[:, None]),
        "tolerance": np.full(empty.shape, cells),
        "detail_correlation": rank_correlation(values, edges[:, None]),
        "detail_partial": partial,
        "detail_reliability": reliable,
        "detail_corrected": corrected(partial, reliable),
    }
    return xr.Dataset({name: (("sample", "step"), array) for name, array in scored.items()})


def _array(maps: xr.DataArray) -> np.ndarray:
    """Maps (sample, step, y, x) f8."""
    return maps.transpose("sample", "step", "y", "x").to_numpy().astype(np.float64)


def saliency_table(
    maps: dict[str, xr.DataArray],
    tree: xr.DataTree,
    masks: xr.DataArray,
    pictures: np.ndarray,
    keys: dict[str, str],
    errors: Mapping[str, xr.DataArray] = MappingProxyType({}),
) -> pd.DataFrame:
    """rq1_saliency of a batch: a row per sample, step and method with a map there.

    maps (sample, step, [word | layer], y, x) by method, and `errors` (sample, step, y, x), of those
    that have them, masks (sample, word, y, x). `keys` say among others which masks these are.
    Detail is the edge strength of the *final* picture (sample, y, x, rgb) u1 at every step, so that
    only the map changes with the step.
    """
    frames = []
    for method, values in flat(maps).items():
        size = values.sizes["y"], values.sizes["x"]
        objects = regions.onto(regions.object_mask(masks), size)
        edges = np.stack([baselines.edge(picture, size) for picture in pictures])
        scored = scores(values, objects, edges, errors.get(method))
        scored = scored.assign_coords(tables.who_and_when(tree))
        computed = np.isfinite(_array(values)).any((2, 3))
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
    errors = {name: values for store in maps for name, values in read_errors(store).items()}
    keys = keys | {"masks": ground_of(masks)}
    frame = saliency_table(maps_of_method, tree, open_masks(masks), pictures, keys, errors)
    tables.write(path, frame)
