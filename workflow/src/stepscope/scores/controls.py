"""RQ1: how much of a method's map is left when its weights, prompt or latent are not its own."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.scores.saliency import constant, rank_correlation
from stepscope.store import tables
from stepscope.store.maps import read_maps, read_methods

CEILING = "seed"  # the control that is the method itself with another seed


def compared(own: xr.DataArray, controls: xr.DataArray) -> xr.Dataset:
    """correlation, ceiling and other_sample (sample, step, control, [word]) of a method's maps.

    Spearman's over cells: of each control's map with the own one, of the method's with itself under
    another seed, 1 where it has none, and of the own map with those of other prompts' samples, the
    mean over them. `own` (sample, step, [word], y, x) may be of more samples and steps than
    `controls` (sample, step, control, [word], y, x). NaN where one of two maps is constant or was
    not computed.
    """
    every = own.sel(step=controls["step"])
    own = every.sel(sample=controls["sample"])
    first = own.expand_dims(control=1).transpose(*controls.dims)
    values = rank_correlation(first.to_numpy(), controls.to_numpy())
    axes = controls.dims[:-2]
    found = xr.DataArray(values, dims=axes)
    (seeds,) = np.nonzero(controls["kind"].to_numpy() == CEILING)
    known = xr.DataArray(~constant(own.to_numpy()), dims=own.dims[:-2])
    ceiling = found.isel(control=seeds[0]) if len(seeds) else known.where(known).astype(float)
    others = xr.DataArray(with_others(own, every), dims=own.dims[:-2])
    scored = {"correlation": found, "ceiling": ceiling, "other_sample": others}
    return xr.Dataset(
        {
            name: score.broadcast_like(found).transpose(*axes).variable
            for name, score in scored.items()
        },
        coords={name: coord for name, coord in controls.coords.items() if {*coord.dims} <= {*axes}},
    )


def with_others(own: xr.DataArray, every: xr.DataArray) -> np.ndarray:
    """Mean correlation (sample, step, [word]) of each map with those of all other prompts'."""
    means = []
    for map_, prompt_id in zip(own.to_numpy(), own["prompt_id"].to_numpy(), strict=True):
        theirs = every.isel(sample=every["prompt_id"].to_numpy() != prompt_id)
        values = rank_correlation(map_[None], theirs.to_numpy())
        count = np.isfinite(values).sum(0)
        means.append(np.nansum(values, 0) / np.where(count > 0, count, np.nan))
    return np.array(means)


def controls_table(
    own: Mapping[str, xr.DataArray], controls: Mapping[str, xr.DataArray], keys: Mapping[str, str]
) -> pd.DataFrame:
    """rq1_controls of a batch: a row per sample, step, map, word and control that was computed.

    Both have maps by method; those of layers are added. The method under another seed is a column.
    """
    frames = []
    for method, maps in controls.items():
        pair = (
            values.sum("layer", min_count=1) if "layer" in values.dims else values
            for values in (own[method], maps)
        )
        base, changed = pair
        own_there = base.sel(sample=changed["sample"], step=changed["step"]).notnull()
        computed = (changed.notnull() & own_there).any(("y", "x")).transpose(*changed.dims[:-2])
        frame = tables.tidy(compared(base, changed), keys)[computed.to_numpy().ravel()]
        frame = frame[frame["kind"] != CEILING].assign(method=method)
        frame = frame.drop(columns="control").rename(columns={"kind": "control"})
        frames.append(
            frame if "word" in frame else frame.assign(word="", role="", word_index=np.nan)
        )
    return tables.ordered(pd.concat(frames), "rq1_controls")


def write_controls(
    path: str, *, maps: Sequence[str], controls: Sequence[str], keys: Mapping[str, str]
) -> None:
    """Write a batch's part of rq1_controls, from stores of maps and of maps under the controls."""
    changed = {name: values for store in controls for name, values in read_maps(store).items()}
    tables.write(path, controls_table(read_methods(maps), changed, keys))
