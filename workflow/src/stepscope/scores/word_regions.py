"""RQ2: how much more a word's map is on the word's region than other words' maps are."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.pictures import regions
from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import is_of_words
from stepscope.table_registry import TABLES

APART = 0.5  # overlap, over the union, below which two words' regions are different places


def on_regions(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """How dense each map is in each region, (step, map, region) f8: 1 as everywhere.

    The share of max(map, 0) inside the region over the region's share of the area. maps (step,
    map, y, x), inside (region, y, x) bool; NaN of maps without a positive cell, and empty regions.
    """
    positive = np.maximum(np.nan_to_num(maps.astype(np.float64)), 0)
    flat = positive.reshape(*positive.shape[:2], -1)
    total = flat.sum(-1, keepdims=True)
    area = inside.reshape(len(inside), -1).mean(1)
    share = (flat / np.where(total > 0, total, np.nan)) @ inside.reshape(len(inside), -1).T
    return share / np.where(area > 0, area, np.nan)


def overlaps(inside: np.ndarray) -> np.ndarray:
    """Intersection over union of every two regions (region, y, x) bool; NaN of empty ones."""
    flat = inside.reshape(len(inside), -1).astype(np.float64)
    both, sizes = flat @ flat.T, flat.sum(1)
    union = sizes[:, None] + sizes - both
    return both / np.where(union > 0, union, np.nan)


def own_and_others(maps: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density of own and (mean) of other words' maps in each word's region, (step, word) each.

    Others are the words whose regions are another place: an attribute shares its noun's. NaN
    where there is none.
    """
    density = on_regions(maps, inside)  # (step, map, region)
    apart = overlaps(inside) < APART
    known = np.isfinite(density) & apart[None]
    counts = known.sum(1)
    others = np.where(known, density, 0).sum(1) / np.where(counts > 0, counts, np.nan)
    return np.diagonal(density, axis1=1, axis2=2), others


def region_table(
    maps: Mapping[str, xr.DataArray], tree: xr.DataTree, masks: xr.DataArray, keys: dict[str, str]
) -> pd.DataFrame:
    """rq2_regions of a batch: a row per sample, step, word with role and region, and method."""
    coords = tables.who_and_when(tree) | word_coordinates(tree)
    frames = []
    for method, values in maps.items():
        if not is_of_words(values):
            continue
        array = values.transpose("sample", "step", "word", "y", "x").to_numpy()
        cells = regions.onto(masks.to_numpy(), array.shape[-2:])
        found = np.full((2, *array.shape[:3]), np.nan)
        has_role = coords["word_role"].to_numpy() != ""  # type: ignore[union-attr]
        for sample, chosen in enumerate(has_role & np.isfinite(cells).all((-2, -1))):
            if chosen.any():
                pair = own_and_others(array[sample][:, chosen], cells[sample, chosen] >= 0.5)
                found[:, sample][..., chosen] = pair
        scored = xr.Dataset(
            {
                name: (("sample", "step", "word"), of)
                for name, of in zip(("own", "others"), found, strict=True)
            }
        ).assign_coords(coords)
        frame = tables.tidy(scored, keys).assign(method=method)
        frames.append(frame[frame["own"].notna()])
    empty = pd.DataFrame(columns=TABLES["rq2_regions"].columns)
    frame = pd.concat(frames) if frames else empty
    return tables.ordered(frame.assign(gain=frame["own"] - frame["others"]), "rq2_regions")


def interaction_table(
    numbers: Mapping[str, xr.DataArray], tree: xr.DataTree, keys: dict[str, str]
) -> pd.DataFrame:
    """rq2_interactions of a batch: a row per sample, step and pair of words, each pair once."""
    coords = tables.who_and_when(tree) | word_coordinates(tree)
    texts, roles = (coords[name].to_numpy() for name in ("word_text", "word_role"))  # type: ignore
    frames = []
    for name, values in numbers.items():
        array = values.transpose("sample", "step", "word", "other_word").to_numpy()
        upper = np.triu(np.ones(array.shape[-2:], bool), 1)
        axes = ("sample", "step", "word", "other_word")
        scored = xr.Dataset({"interaction": (axes, np.where(upper, array, np.nan))})
        scored = scored.assign_coords(coords | {"other_word": np.arange(array.shape[-1])})
        frame = tables.tidy(scored, keys).rename(columns={"other_word": "other_index"})
        frame = frame[frame["interaction"].notna()].assign(method=name)
        other = frame["sample"], frame["other_index"]
        frames.append(frame.assign(other_word=texts[other], other_role=roles[other]))
    empty = pd.DataFrame(columns=TABLES["rq2_interactions"].columns)
    return tables.ordered(pd.concat(frames) if frames else empty, "rq2_interactions")
