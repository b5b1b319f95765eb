"""RQ2: how many nats each word tells of the picture, over the noise levels that are explained."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.store import tables
from stepscope.store.coordinates import word_coordinates
from stepscope.store.maps import open_dataset
from stepscope.store.traces import times_of

FUNCTION = "stepscope.methods.word_information:word_information"  # whose maps are in nats


def integrated(maps: xr.DataArray, log_snr: np.ndarray) -> xr.Dataset:
    """Nats (sample, word) f8: maps summed over cells and integrated over log-SNR (step,).

    maps (sample, step, word, y, x) are in nats a cell and unit of log-SNR, NaN where none was
    computed; by the trapezoidal rule between the first and the last explained step, whose levels
    are `log_snr_low` and `log_snr_high`. NaN with fewer than two steps. Along a sampled trajectory
    it is what the model's own predictions differ by; of forward-noised pictures (`trace: noise`) it
    estimates the pointwise information of picture and word (Kong et al., arXiv 2310.07972).
    """
    rate = maps.sum(("y", "x"), skipna=False).transpose("sample", "step", "word")
    values, order = rate.to_numpy().astype(np.float64), np.argsort(log_snr)
    shape = values.shape[0], values.shape[2]
    nats, steps = np.full(shape, np.nan), np.zeros(shape, dtype=int)
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    for sample, word in np.ndindex(*shape):
        of_word = values[sample, order, word]
        known = np.isfinite(of_word)
        levels = log_snr[order][known]
        steps[sample, word] = len(levels)
        if len(levels) > 1:
            nats[sample, word] = np.trapezoid(of_word[known], levels)
            low[sample, word], high[sample, word] = levels[0], levels[-1]
    columns = {"nats": nats, "steps": steps, "log_snr_low": low, "log_snr_high": high}
    return xr.Dataset({name: (("sample", "word"), values) for name, values in columns.items()})


def information_table(
    maps: Mapping[str, xr.DataArray], tree: xr.DataTree, keys: Mapping[str, str]
) -> pd.DataFrame:
    """rq2_information of a batch: a row per sample, word and method whose maps are in nats."""
    of_words = tables.who(tree) | word_coordinates(tree)
    log_snr = times_of(tree)["log_snr"]
    frames = []
    for method, values in maps.items():
        found = integrated(values, log_snr).assign_coords(of_words)
        frames.append(tables.tidy(found, keys).dropna(subset=["nats"]).assign(method=method))
    empty = pd.DataFrame(columns=tables.columns("rq2_information"))
    return tables.ordered(pd.concat(frames) if frames else empty, "rq2_information")


def is_information(path: str) -> bool:
    """Whether a store's maps are word information."""
    return open_dataset(path).attrs.get("function") == FUNCTION
