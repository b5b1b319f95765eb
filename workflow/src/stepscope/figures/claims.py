"""Figure of the claims: estimate, interval and verdict of every finding."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text

VERDICTS = {
    "supported": plotting.GREEN,
    "contradicted": plotting.VERMILION,
    "undecided": plotting.GREY,
    "not_testable": "0.8",
}
ROW = 0.17  # inches of a finding, in which two lines of text have room
LABEL = 130  # characters a line


@plotting.styled
def draw(claims: pd.DataFrame, confidence: float) -> Figure:
    """Draw claims.tsv: a line a finding, grouped by claim, over its own scale.

    Estimates have units of their own: each is divided by the end of its interval that is farther
    from zero, so that a line shows on which side of zero it lies and how far; numbers stand beside.
    """
    return plotting.stacked(
        [_part(title, rows, confidence) for title, rows in plotting.groups(claims)]
    )


def _part(title: str, rows: pd.DataFrame, confidence: float) -> plotting.Part:
    """Lay out one model and dataset: findings from top to bottom, a claim's together."""
    rows = rows.reset_index(drop=True)
    starts = rows.index[rows["claim"].ne(rows["claim"].shift())]

    def paint(figure: SubFigure) -> None:
        axes, words = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.4])
        words.set_axis_off()
        for number in range(len(rows)):
            _finding(axes, words, number, rows.iloc[number])
        for start in starts:
            axes.axhline(start - 0.5, color="0.8", lw=0.5)
            axes.annotate(
                rows["claim"][start],
                (-0.02, start),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontweight="bold",
            )
        axes.axvline(0, color="0.4", lw=0.6)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(-1.1, 1.1), xticks=[-1, 0, 1], yticks=[])
        axes.set_xlabel(f"estimate and {confidence:.0%} CI, each over its larger end")
        for verdict, colour in VERDICTS.items():
            axes.plot([], [], "o", color=colour, label=verdict.replace("_", " "))
        figure.legend(loc="outside lower center", ncols=4)

    return plotting.Part(title, paint, 10.0, ROW * len(rows) + 1.0)


def _finding(axes: Axes, words: Axes, height: int, row: pd.Series) -> None:
    """Draw a finding's interval, and write its numbers and what it is beside it."""
    colour = VERDICTS[row["verdict"]]
    ends = row[["ci_low", "ci_high"]].to_numpy(float)
    label = row["statistic"]
    if np.isfinite(ends).all():
        scale = max(np.abs(ends).max(), np.finfo(float).tiny)
        axes.plot(ends / scale, [height] * 2, color=colour, lw=1.5)
        axes.plot(row["estimate"] / scale, height, "o", color=colour, ms=3)
        numbers = f"{row['estimate']:.2g} [{ends[0]:.2g}, {ends[1]:.2g}], n = {row['n']}"
        label = f"{numbers}: {label}"
    words.annotate(
        text.wrapped(label, LABEL),
        (0, height),
        xycoords=("axes fraction", "data"),
        fontsize=5,
        linespacing=0.95,
        va="center",
        color="0.15" if np.isfinite(ends).all() else "0.5",
    )
