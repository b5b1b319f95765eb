"""What denoisers that decide nothing "decide": their clocks, beside those of the models."""

import pandas as pd

from stepscope.statistics import clock_summary, clocks
from stepscope.statistics.gathering import with_intervals
from stepscope.store import tables
from stepscope.table_columns import CLOCKS_NULL, CLOCKS_SUMMARY

NAMES = {"gaussian_null": "the Gaussian null", "fixed_picture": "a fixed picture"}
OF_TIME = "log_snr"  # the quantity of medians, means and lags


def with_nulls(
    table: pd.DataFrame,
    summary: pd.DataFrame,
    nulls: pd.DataFrame | None,
    axes: pd.DataFrame,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """rq3_clocks, its summary with rows of the nulls beside those of the models, rq3_clocks_null.

    `nulls` is rq3_nulls, `axes` has the log-SNR of every step. Their clocks are read as those of
    the models are, whose times are also compared with theirs, paired by sample.
    """
    rows, summaries = [], [summary]
    for name, of in () if nulls is None else nulls.groupby("denoiser", sort=False):
        label = NAMES[str(name)]
        found, own = clock_summary.measure(
            of.assign(prediction="e_u"),
            axes,
            [],
            {},
            {"decided": of},
            None,
            [],
            draws=draws,
            confidence=confidence,
            seed=seed,
        )
        own = own[own["quantity"] == OF_TIME]
        summaries.append(own.assign(compared=own["compared"] + f", of {label}"))
        beyond = _paired(table, found, f"minus {label}, paired by sample")
        if len(beyond):
            summaries.append(with_intervals(beyond, draws, confidence, seed).reset_index())
        rows.append(found.assign(denoiser=name))
    frame = pd.concat(rows) if rows else pd.DataFrame(columns=CLOCKS_NULL)
    whole = pd.concat(summaries, ignore_index=True)
    return table, whole[list(CLOCKS_SUMMARY)], tables.ordered(frame, "rq3_clocks_null")


def _paired(table: pd.DataFrame, null: pd.DataFrame, compared: str) -> pd.Series:
    """Times within the steps minus the null's by the same clock and reader, of each sample."""
    keys = [*clocks.UNIT, *clock_summary.CLOCK, *clock_summary.WHO]
    own, other = (
        of.set_index(keys)["within_steps"].astype(float).rename("value") for of in (table, null)
    )
    frame = (own - other).dropna().reset_index().assign(quantity=OF_TIME, compared=compared)
    by = [*clocks.UNIT, *clock_summary.CLOCK, "quantity", "compared", *clock_summary.WHO]
    return frame.set_index(by)["value"]
