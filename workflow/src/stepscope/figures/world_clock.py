"""Figure of the world's clock: when a noised latent holds each family's concept."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting

TRUTH = "bayes"


@plotting.styled
def accuracies(table: pd.DataFrame, families: pd.DataFrame) -> Figure:
    """Draw accuracy over log-SNR, families coloured from the largest to the smallest energy.

    `table` and `families` are world_clock and world_clock_families; a panel a reader, the posterior
    first. Ticks below mark the middles between chance and 1, with their intervals.
    """
    readers = plotting.listed(families["reader"])
    names = plotting.listed(families["family"])
    colours = dict(
        zip(names, mpl.colormaps["viridis"](np.linspace(0, 0.92, len(names))), strict=True)
    )

    def draw(figure: SubFigure) -> None:
        grid = figure.subplots(
            2, len(readers), sharex=True, squeeze=False, height_ratios=[3, 0.18 * len(names)]
        )
        for (above, below), reader in zip(grid.T, readers, strict=True):
            of_reader = families[families["reader"] == reader].set_index("family")
            for name in names:
                rows = table[(table["reader"] == reader) & (table["family"] == name)]
                rows = rows.rename(columns={"accuracy": "estimate"}).sort_values("log_snr")
                if len(rows):
                    plotting.line(above, rows["log_snr"], rows, color=colours[name], label=name)
            _middles(below, of_reader, names, colours)
            above.set(title=_title(reader), ylim=(0, 1.02), yticks=[0, 0.5, 1])
            plotting.log_snr_axis(below)
        grid[0, 0].set_ylabel("accuracy (top-1)")
        for axes in grid[:, 1:].flat:
            axes.set_yticklabels([])
        scenes, noises = (int(table[column].max()) for column in ("scenes", "noises"))
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(names),
            title=f"families, the largest first ({scenes} scenes, {noises} noises each);\nbelow: "
            "middle between chance and 1, 95 % CI over scenes; grey: energy x SNR / 4 is two nats",
        )

    return plotting.stacked([plotting.Part("", draw, max(6.2, 2.4 * len(readers)), 4.6)])


def _title(reader: str) -> str:
    return "posterior given the noised latent" if reader == TRUTH else reader


def _middles(axes: Axes, rows: pd.DataFrame, names: list[str], colours: dict[str, tuple]) -> None:
    """Draw one reader's middles with intervals, and where energy x SNR / 4 is two nats."""
    for line, name in enumerate(names):
        if name in rows.index:
            row = rows.loc[name]
            axes.plot([row["ci_low"], row["ci_high"]], [line, line], color=colours[name])
            axes.plot(row["middle_log_snr"], line, "o", ms=3, color=colours[name])
            axes.plot(row["two_nats_log_snr"], line, "|", ms=6, color=plotting.GREY)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
