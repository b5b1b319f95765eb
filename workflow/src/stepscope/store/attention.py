"""What a trace holds of attention, by grid."""

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
