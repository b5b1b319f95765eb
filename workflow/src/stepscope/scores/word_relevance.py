"""RQ2: how much each word of a prompt matters at each step, and RQ3: how much each role does."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import read_maps
from stepscope.store.traces import open_trace
from stepscope.table_registry import SAMPLE, TABLES

METHOD = "relevance"  # whose word scores are summed by role


def minmax(values: np.ndarray) -> np.ndarray:
    """Scale (..., word) to 0..1 over a prompt's words, as the authors do; NaN where all are equal.

    Comparable within a step only: one word is always 1 and one 0. NaN entries are no words.
    """
    low = np.fmin.reduce(values, axis=-1, keepdims=True)
    span = np.fmax.reduce(values, axis=-1, keepdims=True) - low
    return (values - low) / np.where(span > 0, span, np.nan)


def scores(maps: xr.DataArray) -> xr.Dataset:
    """Relevance of words, (sample, step, word): the raw sum of each word's map over image tokens.

    maps are (sample, step, word, y, x), signed as the method made them.
    """
    total = maps.astype(np.float64).sum(("y", "x"), skipna=False)
    total = total.transpose("sample", "step", "word")
    return xr.Dataset({"relevance": total, "relevance_minmax": (total.dims, minmax(total.values))})


def table(maps: dict[str, xr.DataArray], tree: xr.DataTree, keys: dict[str, str]) -> pd.DataFrame:
    """rq2_relevance of a batch: a row per sample, step, word and method that maps words."""
    frames = []
    coords = tables.who_and_when(tree) | word_coordinates(tree)
    for method, values in maps.items():
        if "word" in values.dims:
            found = scores(values.reset_coords(drop=True)).assign_coords(coords)
            frame = tables.tidy(found, keys).assign(method=method)
            frames.append(frame[frame["relevance"].notna()])
    empty = pd.DataFrame(columns=TABLES["rq2_relevance"].columns)
    return tables.ordered(pd.concat(frames) if frames else empty, "rq2_relevance")


def role_curves(frame: pd.DataFrame, method: str = METHOD) -> pd.Series:
    """Share of relevance of each role at each step, summed over the role's words.

    Indexed by the sample's keys, role and log_snr. Words without a role are in the total of a step
    but get no curve.
    """
    frame = frame[frame["method"] == method]
    frame = frame.assign(share=tables.share(frame))
    keys = [*SAMPLE, "role", "log_snr"]
    return frame[frame["role"] != ""].groupby(keys)["share"].sum()


def averaged(curve: pd.Series, low: float | None = None, high: float | None = None) -> float:
    """Mean over log-SNR, by the trapezoidal rule, of a curve whose index ends with log_snr.

    From ``low`` to ``high``, where the curve is interpolated, or over the whole of it.
    """
    when, values = curve.index.get_level_values("log_snr").to_numpy(), curve.to_numpy()
    low, high = when[0] if low is None else low, when[-1] if high is None else high
    at = np.array([low, *when[(when > low) & (when < high)], high])
    values = np.interp(at, when, values)
    return np.trapezoid(values, at) / (high - low) if high > low else values[0]


def by_role(frame: pd.DataFrame) -> pd.DataFrame:
    """rq3_roles: the share of relevance of each role, averaged over the log-SNR of its sampling."""
    curves = role_curves(frame).groupby(level=[*SAMPLE, "role"])
    rows = [(*key, averaged(curve)) for key, curve in curves]
    return pd.DataFrame(rows, columns=TABLES["rq3_roles"].columns)


def write_relevance(
    scores: str, roles: str, *, traces: str, maps: Sequence[str], keys: dict[str, str]
) -> None:
    """Write a batch's parts of rq2_relevance and rq3_roles."""
    found: dict[str, xr.DataArray] = {}
    for each in maps:
        found |= read_maps(each)
    frame = table(found, open_trace(traces), keys)
    tables.write(scores, frame)
    tables.write(roles, by_role(frame))
