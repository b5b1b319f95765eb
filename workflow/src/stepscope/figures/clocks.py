"""Figure of the clocks: when each concept family is visible, worked on and decided."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.statistics.clock_summary import EARLIEST
from stepscope.statistics.null_clocks import NAMES as NULLS

CLOCKS = [*plotting.SAMPLES, "family", "clock", "reader", "log_snr", "within_steps"]
NAMES = {
    "bayes": "posterior (the world's)",
    "earliest": "nearby noises, predictions",
    "earliest_state": "nearby noises, states",
    "decided": "decided",
    "overridable": "overridable",
    "relevance": "relevance, half done",
    "information": "word information, half done",
    "visible": "visible, empty prompt",
    "visible_e_c": "visible, prompt",
    "visible_guided": "visible, guided",
}
COLOURS = dict(zip(NAMES, plotting.PALETTE, strict=False))
MARKS = dict(zip(NULLS.values(), "|x", strict=True))
CENTRES = ("median", "mean within the steps")


@plotting.styled
def draw(
    clocks: pd.DataFrame, summary: pd.DataFrame, confidence: float, sampling: str | None = None
) -> Figure:
    """Draw every clock of each concept family, a panel a family, a line a clock.

    `clocks` and `summary` are rq3_clocks and rq3_clocks_summary, of all samplings or of one. A line
    reaches from the 10th to the 90th percentile of the samples that are not censored, a bar over
    the interval of the median or, where most samples lie beyond the steps, of the mean within them.
    A thin mark is this median or mean of a denoiser that decides nothing (see `MARKS`).
    """
    parts = []
    if sampling is not None:
        clocks = clocks[clocks["sampling"] == sampling]
    several = clocks.groupby(["model", "dataset"]).ngroups > 1
    for unit, rows in clocks.groupby(plotting.UNITS, sort=False):
        of_unit = summary[(summary[plotting.UNITS] == list(unit)).all(axis=1)]
        title = " · ".join(map(str, unit if several else unit[-1:]))
        parts.append(_part(title, rows, of_unit, confidence))
    return plotting.stacked(parts)


def _part(
    title: str, rows: pd.DataFrame, summary: pd.DataFrame, confidence: float
) -> plotting.Part:
    """Lay out one model, dataset and sampling: a panel a family, the first to be seen first."""
    seen = rows["log_snr"].where(rows["clock"] == "visible").groupby(rows["family"]).median()
    families = seen.sort_values().index.tolist()
    both = pd.concat([rows, summary[summary["clock"].isin(EARLIEST.values())]])
    pairs = both[["clock", "reader"]].drop_duplicates().itertuples(index=False, name=None)
    lines = sorted(pairs, key=lambda pair: ([*NAMES].index(pair[0]), pair[1]))
    columns = min(4, len(families))
    height = -(-len(families) // columns)

    def paint(figure: SubFigure) -> None:
        grid = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(families) :]:
            axes.set_visible(False)
        for axes, family in zip(grid.flat, families, strict=False):
            of_family = summary[summary["family"] == family]
            _panel(axes, rows[rows["family"] == family], of_family, lines)
            axes.set_title(family, fontweight="bold")
            plotting.log_snr_axis(axes)
            axes.tick_params(labelbottom=True)
        names = [f"{NAMES[clock]}{f' ({reader})' if reader else ''}" for clock, reader in lines]
        grid[0, 0].set_yticks(range(len(lines)), names)
        grid[0, 0].set_ylim(len(lines) - 0.5, -0.5)
        means = summary[summary["compared"] == "median"]
        marked = summary["compared"].str.endswith(tuple(f", of {label}" for label in MARKS)).any()
        beside = "\nthin tick: the Gaussian null; cross: a fixed picture" if marked else ""
        figure.supxlabel(
            f"bar: {confidence:.0%} CI of the median (dot; ring: mean within the steps, where the "
            f"median lies beyond); line: 10 to 90 % of samples; diamond: first step above "
            f"chance; {text.counted(means)}{beside}",
            fontsize=6.5,
        )

    return plotting.Part(title, paint, 1.6 + 1.9 * columns, height * (0.8 + 0.2 * len(lines)) + 0.4)


def _panel(
    axes: Axes, rows: pd.DataFrame, summary: pd.DataFrame, lines: list[tuple[str, str]]
) -> None:
    """Draw one family: a line, a bar and a dot for every clock that it has."""
    for height, (clock, reader) in enumerate(lines):
        colour = COLOURS[clock]
        is_own = (rows["clock"] == clock) & (rows["reader"] == reader)
        own = rows.loc[is_own, "log_snr"].dropna().to_numpy(float)
        if len(own):
            low, high = np.quantile(own, [0.1, 0.9])
            axes.plot([low, high], [height] * 2, color=colour, lw=0.8)
        of_clock = summary[(summary["clock"] == clock) & (summary["reader"] == reader)]
        of_clock = of_clock[of_clock["quantity"] == "log_snr"]
        for compared, face in zip(CENTRES, (colour, "white"), strict=True):
            found = of_clock[of_clock["compared"] == compared].dropna(subset="estimate")
            if found.empty:
                continue
            row = found.iloc[0]
            axes.plot([row["ci_low"], row["ci_high"]], [height] * 2, color=colour, lw=3, alpha=0.5)
            axes.plot(row["estimate"], height, "o", ms=3.5, color=colour, mfc=face, mew=0.8)
            break
        for label, mark in MARKS.items():
            names = [f"{name}, of {label}" for name in CENTRES]
            centres = of_clock.set_index("compared")["estimate"].reindex(names).dropna()
            if len(centres):
                axes.plot(centres.iloc[0], height, mark, ms=5, mew=0.7, color="0.4")
        if clock in EARLIEST.values():
            _first(axes, of_clock, height, colour)
    axes.grid(axis="x", lw=0.3)
    axes.tick_params(axis="y", length=0)


def _first(axes: Axes, of_clock: pd.DataFrame, height: int, colour: tuple) -> None:
    """Draw the step from which flips are told from stable pairs, or say why there is none."""
    found = of_clock.dropna(subset="estimate")
    axes.plot(found["estimate"], [height] * len(found), "D", ms=3, color=colour)
    for words in of_clock.loc[of_clock["estimate"].isna(), "compared"]:
        place = axes.get_yaxis_transform()
        why = words.partition(":")[0]
        axes.text(
            0.5, height, why, transform=place, fontsize=5, color=colour, ha="center", va="center"
        )
