"""Figure of DF-RISE's convergence: denoiser calls that its estimators take."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text

QUANTITIES = ("calls_to_correlation", "calls_to_error")
COLUMNS = [*plotting.STEPS, "estimator", "score", *QUANTITIES]  # read of rq1_convergence
ESTIMATORS = {
    "independent": "independent masks",
    "adjusted": "independent masks, adjusted",
    "paired": "pairs of masks, adjusted",
    "orthogonal": "orthogonal masks",
}
SCORES = {"pixel": "score of the pixel", "mean": "mean of all pixels", "region": "mean of objects"}


@plotting.styled
def calls(
    table: pd.DataFrame, levels: Mapping[str, Any], draws: int, confidence: float, seed: int
) -> Figure:
    """Draw the calls to a correlation and to a standard error over log-SNR, from rq1_convergence.

    Estimators are colours, scores columns; `levels` has both under their names.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    labels = {
        "calls_to_correlation": f"calls to correlation {levels['correlation']:g}",
        "calls_to_error": f"calls to standard error {levels['error']:g}",
    }

    def draw(rows: pd.DataFrame, figure: SubFigure) -> None:
        scores = [score for score in SCORES if score in set(rows["score"])]
        grid = figure.subplots(
            len(QUANTITIES), len(scores), sharex=True, sharey="row", squeeze=False
        )
        means = []
        for line, quantity in zip(grid, QUANTITIES, strict=True):
            for axes, score in zip(line, scores, strict=True):
                of_score = rows[rows["score"] == score]
                means.append(_panel(axes, of_score, quantity, bootstrap))
            line[0].set_ylabel(labels[quantity])
        for axes, score in zip(grid[0], scores, strict=True):
            axes.set_title(SCORES[score], fontweight="bold")
        for axes in grid[-1]:
            plotting.log_snr_axis(axes)
        count = text.counted(pd.concat(means))
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=2,
            title=f"estimator (mean over prompts, {confidence:.0%} CI, {count})",
        )

    parts = [
        plotting.Part(" · ".join(filter(None, [title, str(sampling)])), partial(draw, of), 7.2, 4.6)
        for title, rows in plotting.groups(table)
        for sampling, of in rows.groupby("sampling", sort=False)
    ]
    return plotting.stacked(parts)


def _panel(
    axes: Axes, rows: pd.DataFrame, quantity: str, bootstrap: plotting.Bootstrap
) -> pd.DataFrame:
    """Draw a score's calls, a line an estimator; return the means with what is behind them."""
    by = ["estimator", "step", "log_snr"]
    means = plotting.intervals(rows.dropna(subset=[quantity]), by, quantity, **bootstrap)
    for (name, label), colour in zip(ESTIMATORS.items(), plotting.PALETTE, strict=False):
        of_name = means[means["estimator"] == name].sort_values("step")
        plotting.line(axes, of_name["log_snr"], of_name, color=colour, marker="o", label=label)
    if means.empty:
        axes.text(0.5, 0.5, "reached by none", transform=axes.transAxes, ha="center", va="center")
    else:  # a logarithmic axis of nothing is refused
        axes.set_yscale("log", base=2)  # of the whole row
        axes.yaxis.set_major_formatter("{x:.0f}")
    plotting.step_axis(axes, rows, share=0.11)
    return means
