"""RQ2: which resolutions, layers and heads of attention find a word's region."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.methods.method import HEAD
from stepscope.pictures import regions
from stepscope.scores.grounding import scored_rows, scores
from stepscope.store import tables
from stepscope.store.attention import attention_of, layers_by_grid
from stepscope.store.coordinates import sample_and_step_numbers, word_coordinates
from stepscope.store.maps import open_masks, read_methods
from stepscope.store.traces import latent_size, open_trace, words_of
from stepscope.table_registry import TABLES

TRACED = "cross_attention"  # under which the trace's own attention stands
PARTS = ("layer", "head", "resolution")


def grown_onto(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (..., y, x) brought bilinearly to a grid (h, w), as torch's `interpolate` does."""
    for axis, new in zip((-2, -1), size, strict=True):
        old = maps.shape[axis]
        places = (np.arange(new) + 0.5) * old / new - 0.5
        basis = np.stack([np.interp(places, np.arange(old), row) for row in np.eye(old)], 1)
        maps = np.moveaxis(np.tensordot(maps, basis, (axis, 1)), -1, axis)
    return maps


def of_resolutions(tree: xr.DataTree) -> xr.DataArray:
    """The trace's attention to words by resolution, (sample, step, word, layer, y, x) float32.

    Layers are named by their grid, "16x16"; maps are brought to the latent grid, NaN beyond a
    prompt's last word.
    """
    size, words = latent_size(tree), words_of(tree)
    steps, most = tree.sizes["step"], max(map(len, words))
    grids = sorted(attention_of(tree, 0))
    maps = np.full((len(words), steps, most, len(grids), *size), np.nan, dtype=np.float32)
    for sample, said in enumerate(words):
        attention = attention_of(tree, sample)
        for index, grid in enumerate(grids):
            of_words = [attention[grid][:, list(word.tokens)].sum(1) for word in said]
            maps[sample, :, : len(said), index] = grown_onto(np.stack(of_words, 1), size)
    coords = sample_and_step_numbers(tree) | {
        "layer": np.array([f"{h}x{w}" for h, w in grids], dtype=object)
    }
    return xr.DataArray(maps, coords, ("sample", "step", "word", "layer", "y", "x"))


def parts_of(names: Sequence[str], grid_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Layer, head and resolution of each of the `layer` coordinate's names; empty where all are."""
    split = [(layer, head) for layer, _, head in (name.rpartition(HEAD) for name in names)]
    found = [
        (layer, head, grid_of.get(layer, "")) if layer else ("", "", head) for layer, head in split
    ]
    return dict(zip(PARTS, map(list, zip(*found, strict=True)), strict=True))


def heads_table(
    maps: Mapping[str, xr.DataArray], tree: xr.DataTree, masks: xr.DataArray, keys: dict[str, str]
) -> pd.DataFrame:
    """rq2_heads of a batch: a row per sample, step, word with a region, and head or resolution.

    `maps` (sample, step, word, layer, y, x) by method.
    """
    grid_of = layers_by_grid(tree)
    coords = tables.who_and_when(tree) | word_coordinates(tree)
    kept = list(TABLES["rq2_heads"].quantities)
    empty, frames = pd.DataFrame(columns=tables.columns("rq2_heads")), []
    for method, values in maps.items():
        cells = regions.onto(masks.to_numpy(), (values.sizes["y"], values.sizes["x"]))
        named = parts_of(list(values["layer"].to_numpy()), grid_of)
        scored = scores(values, cells, levels=False)[kept].assign_coords(coords)
        frame = scored_rows(values, scored, cells, keys)
        places = frame.pop("layer").to_numpy()
        frames.append(
            frame.assign(method=method, **{part: np.array(named[part])[places] for part in PARTS})
        )
    return tables.ordered(pd.concat(frames) if frames else empty, "rq2_heads")


def write_heads(
    path: str, *, traces: str, masks: str, maps: Sequence[str], keys: dict[str, str]
) -> None:
    """Write a batch's part of rq2_heads: of stored maps by head, and of the trace's attention."""
    tree = open_trace(traces)
    by_head = {
        name: values
        for name, values in read_methods(maps).items()
        if {"word", "layer"} <= set(values.dims)
    }
    maps_of = {TRACED: of_resolutions(tree)} | by_head
    tables.write(path, heads_table(maps_of, tree, open_masks(masks), keys))
