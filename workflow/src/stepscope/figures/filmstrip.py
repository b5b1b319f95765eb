"""Filmstrip (RQ3): a sample's clean predictions, what they show, and its clocks, on one axis."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from stepscope.figures import clocks as clock_figure
from stepscope.figures import plotting, rq3, text
from stepscope.statistics import summaries
from stepscope.table_columns import SAMPLE

CLOCKS = [*SAMPLE, "family", "clock", "reader", "log_snr", "lower", "upper", "censored"]
MARKERS = "os^vD"  # of readers, in their order
ACROSS = 14  # pictures side by side at most
WIDTH, LABELS = 9.0, 2.1  # inches: of the figure, and of it what stands beside the axes
PANEL, LINE = 0.42, 0.34  # inches: height of a family's probabilities, and of its clocks


@plotting.styled
def filmstrip(
    samples: Sequence[xr.Dataset],
    concepts: pd.DataFrame,
    emergence: pd.DataFrame,
    clocks: pd.DataFrame,
    reader: str = "clip",
) -> Figure:
    """Draw samples (see `samples.load_previews`) over log-SNR, one above another.

    Their clean predictions; beneath them, of each concept family, the probability by `reader` of
    what is true of the final picture; and all clocks of the sample. `concepts`, `emergence` and
    `clocks` are rq3_concepts, rq3_emergence and rq3_clocks, of these samples at least.
    """
    parts = []
    for sample in samples:
        read, counted = (_own(table, sample) for table in (concepts, emergence))
        read, counted = (table[table["reader"] == reader] for table in (read, counted))
        if len(counted):
            title = f"{text.caption(sample, samples)}, seed {sample.attrs['seed']}"
            title = text.wrapped(f"{title}, {sample.attrs['sampling']}", 110)
            parts.append(_part(title, sample, read, counted, _own(clocks, sample)))
    return plotting.stacked(parts)


def _own(table: pd.DataFrame, sample: xr.Dataset) -> pd.DataFrame:
    """Rows of a table that are of a sample."""
    return table[(table[[*SAMPLE]] == [sample.attrs[key] for key in SAMPLE]).all(axis=1)]


def _part(
    title: str, sample: xr.Dataset, read: pd.DataFrame, counted: pd.DataFrame, clocks: pd.DataFrame
) -> plotting.Part:
    """Lay out one sample: its pictures, a panel a family, and its clocks."""
    log_snr = sample["log_snr"].to_numpy()
    kept = plotting.spaced(log_snr, 1 / ACROSS)
    gap = np.diff(log_snr[kept]).min() if len(kept) > 1 else 1.0
    ends = (log_snr[0] - gap / 2, log_snr[-1] + gap / 2)
    side = 0.95 * (WIDTH - LABELS) * gap / (ends[1] - ends[0])
    truth = counted.drop_duplicates("family").set_index("family")["counted"]
    chance = 1 / read.groupby("family")["concept"].nunique()
    shown = summaries.counted_probabilities(read, counted).sort_values("step")
    pairs = clocks[["clock", "reader"]].drop_duplicates().itertuples(index=False, name=None)
    lines = sorted(pairs, key=lambda pair: ([*clock_figure.NAMES].index(pair[0]), pair[1]))
    strip = 1.1 * side * sample.sizes["prediction"] + 0.2
    heights = [strip, *[PANEL] * len(truth), LINE * len(truth)]

    def draw(figure: SubFigure) -> None:
        first, *panels, last = figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
        ).flat
        _pictures(first, sample.isel(step=kept), 72 * side)
        for axes, (family, concept) in zip(panels, truth.items(), strict=True):
            _probability(axes, shown[shown["family"] == family], chance[str(family)])
            axes.set_ylabel(family, rotation=0, ha="right", va="center")
            note = text.wrapped(concept.replace(summaries.SEVERAL, " or "), 22)
            axes.annotate(note, (1.01, 0.5), xycoords="axes fraction", va="center", fontsize=6)
        above = (
            f"probability of what is true of the final picture, read by {read['reader'].iloc[0]}"
        )
        panels[0].set_title(above, loc="left", size=7)
        last.set_title("clocks of this sample", loc="left", size=7)
        last.set(yticks=range(len(truth)), yticklabels=truth.index, xlim=ends)
        last.set_ylim(len(truth) - 0.5, -0.5)
        for height, family in enumerate(truth.index):
            _clocks(last, clocks[clocks["family"] == family], lines, height, ends)
        plotting.log_snr_axis(last)
        figure.legend(handles=_legend(lines), loc="outside lower center", ncols=4, fontsize=6)

    height = sum(heights) + 1.6 + 0.15 * (len(lines) // 4)
    return plotting.Part(title, draw, WIDTH, height)


def _pictures(axes: Axes, sample: xr.Dataset, side: float) -> None:
    """Show the clean predictions of some steps, a row a prediction, `side` points wide."""
    names = [str(name) for name in sample["prediction"].to_numpy()]
    for row, name in enumerate(names):
        images = sample["preview"].sel(prediction=name).to_numpy()
        for image, where in zip(images, sample["log_snr"].to_numpy(), strict=True):
            shown = OffsetImage(image, zoom=side / image.shape[1], interpolation="nearest")
            box = AnnotationBbox(shown, (where, row), frameon=False, pad=0)
            box.set_in_layout(False)
            axes.add_artist(box)
    axes.set_yticks(range(len(names)), [plotting.PREDICTIONS[name] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
    steps = {"step": sample["step"].to_numpy(), "log_snr": sample["log_snr"].to_numpy()}
    plotting.step_axis(axes, pd.DataFrame(steps), share=0.01)


def _probability(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    """Draw a family's probability, a line a prediction, and the chance level."""
    for prediction, colour in rq3.COLOURS.items():
        steps = rows[rows["prediction"] == prediction]
        axes.plot(steps["log_snr"], steps["probability"], ".-", color=colour, ms=2, lw=0.9)
    axes.axhline(chance, color=plotting.GREY, lw=0.7, ls=(0, (3, 2)))
    axes.set(ylim=(-0.06, 1.06), yticks=[0, 1])
    axes.tick_params(axis="x", labelbottom=False)


def _clocks(
    axes: Axes,
    rows: pd.DataFrame,
    lines: list[tuple[str, str]],
    family: int,
    ends: tuple[float, float],
) -> None:
    """Mark a family's clocks at its height, each a little lower; censored ones at the ends."""
    markers = _markers(lines)
    for number, (clock, reader) in enumerate(lines):
        height = family + 0.8 * ((number + 0.5) / len(lines) - 0.5)
        colour = clock_figure.COLOURS[clock]
        own = rows[(rows["clock"] == clock) & (rows["reader"] == reader)]
        for row in own.to_dict("records"):
            at = {"before": (ends[0], "<"), "never": (ends[1], ">")}.get(row["censored"])
            place, marker = at or (row["log_snr"], markers[reader])
            low, high = (row[name] if np.isfinite(row[name]) else place for name in RANGE)
            axes.plot(np.clip([low, high], *ends), [height] * 2, color=colour, lw=0.7)
            axes.plot(place, height, marker, color=colour, ms=2.6, mew=0, clip_on=False)
    axes.axhline(family + 0.5, color="0.85", lw=0.5)
    axes.grid(axis="x", lw=0.3)
    axes.tick_params(axis="y", length=0)


RANGE = ("lower", "upper")


def _markers(lines: list[tuple[str, str]]) -> dict[str, str]:
    """A marker of each reader."""
    readers = plotting.listed(reader for _, reader in lines)
    return {reader: MARKERS[number % len(MARKERS)] for number, reader in enumerate(readers)}


def _legend(lines: list[tuple[str, str]]) -> list[Line2D]:
    """Handles of predictions, and of clocks with their readers."""
    handles = [
        Line2D([], [], color=colour, marker=".", ms=3, lw=0.9, label=plotting.PREDICTIONS[name])
        for name, colour in rq3.COLOURS.items()
    ]
    chance = "chance (1 / concepts)"
    handles.append(Line2D([], [], label=chance, color=plotting.GREY, lw=0.7, ls=(0, (3, 2))))
    markers = _markers(lines)
    for clock, reader in lines:
        name = f"{clock_figure.NAMES[clock]}{f' ({reader})' if reader else ''}"
        colour = clock_figure.COLOURS[clock]
        marker = markers[reader]
        handles.append(Line2D([], [], label=name, color=colour, marker=marker, ms=3, lw=0.7, mew=0))
    return handles
