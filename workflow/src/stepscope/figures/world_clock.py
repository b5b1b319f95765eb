"""Figure of the world's clock: when a noised latent holds each family's concept, and a study's."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting

TRUTH = "bayes"
LEAST = 1e-4  # share of the error that is still drawn; the last step leaves none


@plotting.styled
def draw(
    table: pd.DataFrame,
    families: pd.DataFrame,
    onsets: pd.DataFrame,
    left: Mapping[str, np.ndarray],
    of: str,
) -> Figure:
    """Draw what a noised latent holds over log-SNR, and below what a study's samples show.

    `table` and `families` are world_clock and world_clock_families, `onsets` the rows of
    rq3_emergence of one model, dataset and sampling, `of` these in words, and `left` their curve of
    the error left. Families are coloured from the largest to the smallest energy.
    """
    names = plotting.listed(families["family"])
    colours = dict(
        zip(names, mpl.colormaps["viridis"](np.linspace(0, 0.92, len(names))), strict=True)
    )
    truth = families[families["reader"] == TRUTH].set_index("family")
    shown = onsets[(onsets["prediction"] == "e_u") & onsets["family"].isin(names)]
    parts = [_accuracies(table, families, colours)]
    if len(shown):
        parts.append(_study(shown, left, truth, colours, of))
    return plotting.stacked(parts)


def _accuracies(
    table: pd.DataFrame, families: pd.DataFrame, colours: Mapping[str, tuple]
) -> plotting.Part:
    """Lay out accuracies over log-SNR, a panel a reader, the posterior first; middles below."""
    readers, names = plotting.listed(families["reader"]), list(colours)

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

    return plotting.Part("", draw, max(6.2, 2.4 * len(readers)), 4.6)


def _study(
    onsets: pd.DataFrame,
    left: Mapping[str, np.ndarray],
    truth: pd.DataFrame,
    colours: Mapping[str, tuple],
    of: str,
) -> plotting.Part:
    """Lay out a study's share of the error left over log-SNR, above its onsets and the truth's."""
    names = list(colours)

    def draw(figure: SubFigure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 0.18 * len(names)])
        above.plot(left["log_snr"], left["error_left"], ".-", color=plotting.BLUE, ms=4)
        above.set(
            yscale="log",
            ylim=(LEAST, 2 * np.max(left["error_left"])),
            ylabel="share of the error left\n(guided, median)",
        )
        above.yaxis.set_major_formatter("{x:g}")
        plotting.step_axis(above, pd.DataFrame({key: left[key] for key in ("step", "log_snr")}))
        for line, name in enumerate(names):
            found = onsets.loc[onsets["family"] == name, "onset_log_snr"].dropna()
            if len(found):
                low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
                below.plot([low, high], [line, line], color=colours[name])
                below.plot(middle, line, "o", ms=4, color=colours[name])
            below.plot(truth.loc[name, "middle_log_snr"], line, "|", ms=8, mew=1.4, color="black")
        below.set_yticks(range(len(names)), names)
        below.set_ylim(len(names) - 0.5, -0.5)
        below.tick_params(axis="y", length=0)
        plotting.log_snr_axis(below)
        samples = len(onsets[["prompt_id", "seed"]].drop_duplicates())
        below.set_xlabel(
            f"log-SNR (nats)\nonsets in x0(e_u): median and quartiles ({samples} samples); "
            "black: the posterior's middle"
        )

    return plotting.Part(of, draw, 6.2, 3.6)


def _title(reader: str) -> str:
    return "posterior given the noised latent" if reader == TRUTH else reader


def _middles(
    axes: Axes, rows: pd.DataFrame, names: list[str], colours: Mapping[str, tuple]
) -> None:
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
