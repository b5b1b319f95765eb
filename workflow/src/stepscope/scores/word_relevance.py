"""RQ2: how much each word of a prompt matters at each step, and RQ3: how much each role does."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.methods.scaling import minmax
from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import is_of_words, read_methods
from stepscope.store.traces import open_trace
from stepscope.table_columns import SAMPLE
from stepscope.table_registry import TABLES

METHOD = "relevance"  # whose word scores are summed by role


def scores(maps: xr.DataArray) -> xr.Dataset:
    """Relevance of words, (sample, step, word) f8: the raw sum of each word's map over its cells.

    maps are (sample, step, word, y, x), signed as the method made them. `relevance_minmax` is the
    same scaled to 0..1 over a prompt's words, as the authors do. It compares within a step only:
    one word is always 1 and one 0, and all are NaN where they are equal.
    """
    total = maps.astype(np.float64).sum(("y", "x"), skipna=False)
    total = total.transpose("sample", "step", "word")
    scaled = minmax(total.to_numpy(), axis=-1)  # NaN entries are no words
    return xr.Dataset({"relevance": total, "relevance_minmax": (total.dims, scaled)})


def relevance_table(
    maps: Mapping[str, xr.DataArray], tree: xr.DataTree, keys: dict[str, str]
) -> pd.DataFrame:
    """rq2_relevance of a batch: a row per sample, step, word and method that maps words."""
    frames = []
    coords = tables.who_and_when(tree) | word_coordinates(tree)
    for method, values in maps.items():
        if is_of_words(values):
            scored = scores(values.reset_coords(drop=True)).assign_coords(coords)
            frame = tables.tidy(scored, keys).assign(method=method)
            frames.append(frame[frame["relevance"].notna()])
    empty = pd.DataFrame(columns=TABLES["rq2_relevance"].columns)
    return tables.ordered(pd.concat(frames) if frames else empty, "rq2_relevance")


def role_curves(frame: pd.DataFrame, method: str = METHOD) -> pd.Series:
    """Share of relevance of each role at each step, summed over the role's words.

    Indexed by the sample's keys, role and log_snr. Words without a role are in the total of a step
    but get no curve.
    """
    frame = frame[frame["method"] == method]
    return summed(frame.assign(share=tables.share(frame)))


def summed(shares: pd.DataFrame, method: str = METHOD) -> pd.Series:
    """Those of a method's words, whose `share` of their step is known."""
    rows = shares[(shares["method"] == method) & (shares["role"] != "")]
    return rows.groupby([*SAMPLE, "role", "log_snr"])["share"].sum()


def averaged(
    log_snr: np.ndarray, values: np.ndarray, low: float | None = None, high: float | None = None
) -> float:
    """Mean over log-SNR, by the trapezoidal rule, of a curve's values (step,) f8.

    From `low` to `high`, where the curve is interpolated, or over the whole of it.
    """
    low, high = log_snr[0] if low is None else low, log_snr[-1] if high is None else high
    ends = np.array([low, *log_snr[(log_snr > low) & (log_snr < high)], high])
    read = np.interp(ends, log_snr, values)
    return np.trapezoid(read, ends) / (high - low) if high > low else read[0]


def by_role(frame: pd.DataFrame) -> pd.DataFrame:
    """rq3_roles: the share of relevance of each role, averaged over the log-SNR of its sampling."""
    rows = []
    for key, curve in role_curves(frame).groupby(level=[*SAMPLE, "role"]):
        log_snr = curve.index.get_level_values("log_snr").to_numpy()
        mean = averaged(log_snr, curve.to_numpy())
        rows.append((*key, mean))  # type: ignore[misc]  # the stub knows no keys of several levels
    return pd.DataFrame(rows, columns=TABLES["rq3_roles"].columns)


def write_relevance(
    scores: str, roles: str, *, traces: str, maps: Sequence[str], keys: dict[str, str]
) -> None:
    """Write a batch's parts of rq2_relevance and rq3_roles."""
    frame = relevance_table(read_methods(maps), open_trace(traces), keys)
    tables.write(scores, frame)
    tables.write(roles, by_role(frame))
