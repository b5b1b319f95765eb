"""RQ2: whether a word's map finds the word's region, at each step and summed over steps."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.joblog import bar
from stepscope.methods import baselines
from stepscope.pictures import regions
from stepscope.scores.information import information_table, is_information
from stepscope.scores.region_scores import CELLS, LEVELS, Scores, grown, held_out, iou_curves, score
from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import flat, ground_of, open_masks, read_methods
from stepscope.store.traces import open_trace, prompt_ids_of

GAINS = ("pointing", "iou_best", "average_precision")  # of maps summed over steps


def scores(maps: xr.DataArray, masks: np.ndarray, levels: bool = True) -> xr.Dataset:
    """Scores (sample, step, word, ...) f8 of maps (sample, step, [word], ..., y, x).

    masks (sample, word, y, x) are shares of the latent grid's cells: half or more is inside, NaN
    is no region. A map without words is scored for every word. With `levels` they have IoU by level
    (sample, step, word, ..., level).
    """
    values = maps.transpose("sample", "step", ..., "y", "x")
    others = [str(dim) for dim in values.dims[2:-2] if dim != "word"]
    if "word" in values.dims:
        values = values.transpose("sample", "step", "word", *others, "y", "x")
    array = values.to_numpy()
    known = np.isfinite(masks).all(CELLS)
    samples, words = known.shape
    shape = (samples, maps.sizes["step"], words, *(maps.sizes[name] for name in others))
    arrays = np.full((len(Scores._fields), *shape), np.nan)
    curves = np.full((*shape, LEVELS) if levels else 0, np.nan)
    for sample in np.flatnonzero(known.any(1)):  # one by one: together they take much memory
        scored_words = known[sample]
        of_step = array[sample]
        of_step = of_step[:, scored_words] if "word" in maps.dims else of_step[:, None]
        computed = np.isfinite(of_step).all(CELLS)
        steps = computed.any(tuple(range(1, computed.ndim)))
        if not steps.any():
            continue
        of_step = np.where(computed[..., None, None], of_step, 0)[steps].astype(np.float64)
        inside = (masks[sample, scored_words] >= 0.5).reshape(
            -1, *[1] * len(others), *masks.shape[-2:]
        )
        place = np.ix_(steps, scored_words)
        found = score(of_step, inside, grown(inside))
        for of_score, one in zip(arrays[:, sample], found, strict=True):
            of_score[place] = one
        if levels:
            curves[sample][place] = iou_curves(of_step, inside)
    axes = ("sample", "step", "word", *others)
    dataset = xr.Dataset(
        {name: (axes, one) for name, one in zip(Scores._fields, arrays, strict=True)}
    )
    return dataset.assign(levels=((*axes, "level"), curves)) if levels else dataset


def scored_rows(
    values: xr.DataArray, scored: xr.Dataset, cells: np.ndarray, keys: Mapping[str, str]
) -> pd.DataFrame:
    """Rows of scores: of maps that were computed, and of words with a region."""
    mapped = xr.apply_ufunc(np.isfinite, values.reset_coords(drop=True)).all(("y", "x"))
    region = xr.DataArray(np.isfinite(cells).all(CELLS), dims=("sample", "word"))
    kept = (mapped & region).transpose("sample", "step", "word", ...)
    frame = tables.tidy(scored, keys)
    return frame[kept.to_numpy().ravel()]


def grounding_tables(
    maps: Mapping[str, xr.DataArray], tree: xr.DataTree, masks: xr.DataArray, keys: dict[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """rq2_grounding and rq2_summed of a batch.

    The first has a row per sample, step, word with a region, and method; rows whose scores are NaN
    are constant maps, or regions that are empty on the latent grid. The second has one per sample,
    word and method: scores of its map summed over steps, and what they have beyond the mean of the
    single steps' scores. A method of one step has no sum.
    """
    by_step, summed = [], []
    of_words = word_coordinates(tree)
    coords = tables.who_and_when(tree) | of_words
    prompts, roles = prompt_ids_of(tree), of_words["word_role"].to_numpy()
    over_steps = of_words | tables.who(tree)
    for method, values in bar(list(maps.items()), "methods grounded"):
        cells = regions.onto(masks.to_numpy(), (values.sizes["y"], values.sizes["x"]))
        scored = scores(values, cells)
        levels = scored["levels"].to_numpy()
        scored = scored.drop_vars("levels").assign(
            iou_held_out=(("sample", "step", "word"), held_out(levels, prompts, roles))
        )
        frame = scored_rows(values, scored.assign_coords(coords), cells, keys)
        by_step.append(frame.assign(method=method))
        computed = values.notnull().all(("y", "x"))
        steps = computed.sum("step")  # of each map
        if int(steps.max()) > 1:
            whole = values.sum("step", min_count=2).expand_dims(step=[0], axis=1)
            of_sum = scores(whole, cells, levels=False).isel(step=0)[list(GAINS)]
            single = scored[list(GAINS)].mean("step")
            of_sum = of_sum.assign({f"{name}_gain": of_sum[name] - single[name] for name in GAINS})
            of_sum = of_sum.assign_coords(over_steps)
            frame = tables.tidy(of_sum, keys).dropna(subset=GAINS, how="all")
            summed.append(frame.assign(method=method, steps=int(steps.max())))
    empty = pd.DataFrame(columns=[*tables.columns("rq2_summed")])
    return (
        tables.ordered(pd.concat(by_step), "rq2_grounding"),
        tables.ordered(pd.concat(summed) if summed else empty, "rq2_summed"),
    )


def write_grounding(
    grounding: str,
    summed: str,
    information: str,
    *,
    traces: str,
    masks: str,
    maps: Sequence[str],
    keys: dict[str, str],
    seed: int,
) -> None:
    """Write a batch's parts of rq2_grounding, rq2_summed and rq2_information.

    The first two are of every method and of the random and centre maps.

    A method without words has one map a step, which is held against every word's region; maps by
    layer or head are summed.
    """
    tree, keys = open_trace(traces), keys | {"masks": ground_of(masks)}
    stored = read_methods(maps, baselines.NAMES)
    of_words = {
        name: values.sum("layer", min_count=1) if "layer" in values.dims else values
        for name, values in stored.items()
        if "word" in values.dims
    }
    maps_of_method = baselines.maps(tree, seed) | flat(stored) | of_words
    in_nats = read_methods(path for path in maps if is_information(path))
    frames = [
        *grounding_tables(maps_of_method, tree, open_masks(masks), keys),
        information_table(in_nats, tree, keys),
    ]
    for path, frame in zip((grounding, summed, information), frames, strict=True):
        tables.write(path, frame)
