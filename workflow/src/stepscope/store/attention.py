"""What a trace holds of attention, by grid."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr


def attention_of(tree: xr.DataTree, sample: int) -> dict[tuple[int, int], np.ndarray]:
    """Attention (step, token row, y, x) of a sample by its grid, float32."""
    groups = [node["value"] for name, node in tree.children.items() if name.startswith("attn_")]
    found: dict[tuple[int, int], np.ndarray] = {}
    for values in groups:
        height, width = values.shape[-2:]
        found[height, width] = values.isel(sample=sample).to_numpy().astype(np.float32)
    return found


def layers_by_grid(tree: xr.DataTree) -> dict[str, str]:
    """Grid, as "16x16", of each traced attention layer."""
    by_grid = tree.attrs["audit"]["layers"]
    return {layer: grid for grid, layers in by_grid.items() for layer in layers}


def keeps_heads(tree: xr.DataTree) -> bool:
    """Whether a trace has attention by head beside its mean."""
    return any(name.startswith("heads_") for name in tree.children)


def heads_of(tree: xr.DataTree, sample: int, number: int) -> dict[str, np.ndarray]:
    """Attention (head, token row, y, x) of each layer at a sample's step, as stored.

    The step alone is read; of a trace that keeps the mean alone there is none.
    """
    found = {}
    for name in filter(lambda name: name.startswith("heads_"), tree.children):
        step = tree[f"{name}/value"].isel(sample=sample, step=number - 1)
        found[name.removeprefix("heads_")] = step.to_numpy()
    return by_layer(found, tree.attrs["audit"])


def by_layer(grids: Mapping[str, Any], audit: Mapping[str, Any]) -> dict[str, Any]:
    """Maps (head, ...) of each layer in forward order, from those of grids, layer after layer."""
    found = {}
    for grid, maps in grids.items():
        start = 0
        for layer in audit["layers"][grid]:
            count = audit["heads"][layer]
            found[layer] = maps[start : start + count]
            start += count
    return {layer: found[layer] for layer in audit["heads"] if layer in found}
