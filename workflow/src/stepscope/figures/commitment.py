"""Figure of commitment (RQ3): until when another prompt still changes a concept of the picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.statistics import commitment

COLUMNS = [*plotting.STEPS, "timestep", "family", "trajectory", "reader", "wins"]
ACROSS = 4  # panels side by side


@plotting.styled
def curves(table: pd.DataFrame, draws: int, confidence: float, seed: int) -> Figure:
    """Draw rq3_commitment: a panel a family, a falling curve a reader, with its band and median."""
    parts = []
    for title, rows in plotting.groups(table):
        for sampling, of_sampling in rows.groupby("sampling", sort=False):
            several = rows["sampling"].nunique() > 1
            name = " · ".join(filter(None, [title, str(sampling) if several else ""]))
            found = commitment.curves(of_sampling, draws, confidence, seed)
            parts.append(_part(name, of_sampling, found, confidence))
    return plotting.stacked(parts)


def _part(title: str, table: pd.DataFrame, found: pd.DataFrame, confidence: float) -> plotting.Part:
    """Lay out one model, dataset and sampling."""
    if found.empty:
        why = "No reader tells the concepts of any switch apart, or no prompt names one."
        return plotting.nothing(title, why)
    families = plotting.listed(table["family"])
    readers = plotting.listed(table["reader"])
    count = -(-len(families) // ACROSS)

    def draw(figure: SubFigure) -> None:
        grid = figure.subplots(count, min(ACROSS, len(families)), sharey=True, squeeze=False)
        for axes in grid.flat[len(families) :]:
            axes.set_visible(False)
        for axes, family in zip(grid.flat, families, strict=False):
            axes.set_title(family, fontweight="bold", pad=24)
            rows = found[found["family"] == family]
            for reader, colour in zip(readers, plotting.PALETTE, strict=False):
                _curve(axes, table, rows, family, reader, colour)
            axes.axhline(0.5, color=plotting.GREY, lw=0.6, ls=(0, (3, 2)))
            axes.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
            steps = table[table["family"] == family]
            plotting.step_axis(axes, steps, label="switched at step", share=0.12)
            plotting.log_snr_axis(axes)
        for line in grid:
            line[0].set_ylabel("share of switches that win")
        figure.legend(
            *_handles(grid.flat[: len(families)]),
            loc="outside lower center",
            ncols=len(readers),
            title=f"reader (isotonic over means of prompts, {confidence:.0%} CI; points: means; "
            "bars: median)",
        )

    width = max(4.0, 1.9 * min(ACROSS, len(families)) + 0.5)
    return plotting.Part(title, draw, width, 2.3 * count + 0.6)


def _curve(
    axes: Axes, table: pd.DataFrame, rows: pd.DataFrame, family: str, reader: str, colour: tuple
) -> None:
    """Draw a reader's curve of a family, its means, its median, and what is behind them."""
    of_reader = rows[rows["reader"] == reader]
    line, median = of_reader[of_reader["quantity"] == "wins"], of_reader.iloc[-1:]
    if line.empty:
        return
    plotting.line(axes, line["log_snr"], line, color=colour, label=reader)
    chosen = table[(table["family"] == family) & (table["reader"] == reader)]
    means = chosen.groupby(["prompt_id", "step", "log_snr"], observed=True)["wins"].mean()
    points = means.groupby("log_snr").mean()
    axes.plot(points.index, points, ".", color=colour, ms=3)
    if np.isfinite(median["estimate"].item()):
        axes.plot(median["estimate"], [0.5], "|", color=colour, ms=9, mew=1.4)
    height = 0.02 + 0.09 * sum(artist.get_gid() == "n" for artist in axes.texts)
    note = axes.text(
        0.02, height, text.counted(line), color=colour, fontsize=5.5, transform=axes.transAxes
    )
    note.set_gid("n")


def _handles(panels: np.ndarray) -> tuple[list, list]:
    """Handles and labels of a legend of all panels, each label once."""
    found: dict[str, object] = {}
    for axes in panels:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(found.values()), list(found)
