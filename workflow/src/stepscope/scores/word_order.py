"""RQ2: in which order a prompt's words are worked on, and from when one is on top."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from stepscope.language import slots, word_order
from stepscope.store import tables
from stepscope.store.word_curves import centre, reigns
from stepscope.table_columns import SAMPLE

QUANTITIES = ("peak_step", "peak_log_snr", "centre_log_snr", "centre_rank", "position")


def order_table(relevance: pd.DataFrame, tree: xr.DataTree) -> pd.DataFrame:
    """rq2_order of a batch, from its rq2_relevance: a row per sample, word and method.

    Curves are shares of a step's relevance. `centre_rank` and `position` are the ranks of the
    centre of mass and of the place in the prompt among the words with a role, from 0 to 1. Samples
    with a single step have no rows.
    """
    roles = {
        (prompt_id, seed): [word["role"] for word in words]
        for prompt_id, seed, words in zip(
            tree["prompt_id"].to_numpy(), tree["seed"].to_numpy(), tree.attrs["words"], strict=True
        )
    }
    frame = relevance.assign(share=tables.share(relevance))
    frames: list[pd.DataFrame] = []
    for key, rows in frame.groupby([*SAMPLE, "method"], sort=False):
        _, _, _, prompt_id, seed, _ = key
        frames += _of_sample(rows, roles[prompt_id, seed])
    empty = pd.DataFrame(columns=[*frame.columns, "slot", "word_order", *QUANTITIES, *REIGN])
    return tables.ordered(pd.concat(frames) if frames else empty, "rq2_order")


REIGN = ("reign_log_snr", "reign_low", "reign_high")


def _of_sample(rows: pd.DataFrame, roles: list[str]) -> Iterator[pd.DataFrame]:
    """Rows of one sample and method; none with a single step."""
    wide = rows.pivot(index="word_index", columns="step", values="share")
    wide = wide.dropna(axis="columns", how="any")
    if wide.shape[1] < 2:
        return
    times = rows.drop_duplicates("step").set_index("step")["log_snr"].loc[wide.columns]
    log_snr, curves = times.to_numpy(), wide.to_numpy()
    peak = curves.argmax(1)
    centres = centre(log_snr, curves)
    words = rows.drop_duplicates("word_index").set_index("word_index").loc[wide.index]
    own = (words["role"] != "").to_numpy()
    first: dict[int, tuple[float, float, float]] = {}
    for word, *times_of in reigns(curves, curves, curves, log_snr):
        first.setdefault(word, tuple(times_of))  # type: ignore[arg-type]
    lacking = (np.nan,) * len(REIGN)
    taken = np.array([first.get(word, lacking) for word in range(len(curves))])
    yield words.reset_index().assign(
        slot=[slots(roles)[index] for index in wide.index],
        word_order=word_order(roles),
        peak_step=wide.columns.to_numpy()[peak],
        peak_log_snr=log_snr[peak],
        centre_log_snr=centres,
        centre_rank=_ranks(np.where(own, centres, np.nan)),
        position=_ranks(np.where(own, wide.index.to_numpy(), np.nan)),
        **dict(zip(REIGN, taken.T, strict=True)),
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1 of those values that exist; NaN of the others, and of a single one."""
    found = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if known.sum() > 1:
        found[known] = (rankdata(values[known]) - 1) / (known.sum() - 1)
    return found
