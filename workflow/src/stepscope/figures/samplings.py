"""Figure of RQ3's samplings: the same prompts and seeds by each, and what that changes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from stepscope.figures import overlays, plotting, text

MEASURES = {
    "layout": "where objects are\n(1 - IoU)",
    "concept": "concept\n(total variation)",
    "detail": "detail (log of\nhigh-frequency energy)",
    "distance": "squared distance to\nmany steps, relative",
}


@plotting.styled
def draw(
    pictures: Sequence[xr.Dataset],
    changes: pd.DataFrame,
    draws: int,
    confidence: float,
    seed: int,
) -> Figure:
    """Draw the same prompts and seeds under each sampling, the log-SNR of the steps, and changes.

    Each dataset (see `samples.load_by_sampling`) holds the pictures of a model and dataset of
    prompts; `changes` is rq3_samplings, without rows where nothing is compared.
    """
    several = len(pictures) > 1
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    parts = []
    for unit in pictures:
        parts.append(_grid(text.unit_of(unit) if several else "", unit))
        of_unit = changes[
            (changes["model"] == unit.attrs["model"])
            & (changes["dataset"] == unit.attrs["dataset"])
            & changes["ends"].ne("")
        ]
        if len(of_unit):
            parts.append(_changes(of_unit, bootstrap))
    return plotting.stacked(parts)


def _changes(rows: pd.DataFrame, bootstrap: plotting.Bootstrap) -> plotting.Part:
    """Lay out what samplings change against the uniform one: a panel a measure, a row a part."""
    by = ["measure", "part", "reader", "sampling", "ends"]
    table = plotting.intervals(rows, by, "change", **bootstrap)
    pairs = table[["sampling", "ends"]].drop_duplicates().sort_values(["ends", "sampling"])
    lines: list[tuple[str, str]] = list(pairs.itertuples(index=False, name=None))
    measures = [name for name in MEASURES if name in set(table["measure"])]

    def draw(figure: SubFigure) -> None:
        for axes, measure in zip(
            np.ravel(figure.subplots(1, len(measures), squeeze=False)), measures, strict=True
        ):
            of_measure = table[table["measure"] == measure]
            parts = of_measure[["part", "reader"]].drop_duplicates()
            names = list(parts.itertuples(index=False, name=None))
            for number, line in enumerate(lines):
                colour = plotting.PALETTE[number % len(plotting.PALETTE)]
                own = of_measure[(of_measure[["sampling", "ends"]] == list(line)).all(axis=1)]
                at = [names.index(pair) for pair in zip(own["part"], own["reader"], strict=True)]
                height = np.array(at) + 0.7 * ((number + 0.5) / len(lines) - 0.5)
                label = f"{line[0]}, ends {line[1]}"
                axes.plot(own["estimate"], height, ".", color=colour, label=label)
                axes.hlines(height, own["ci_low"], own["ci_high"], color=colour, lw=1)
            axes.axvline(0, color="0.5", lw=0.6)
            axes.set_title(MEASURES[measure], fontsize=7)
            between = "\n" if len(names) <= 3 else " "
            labels = [between.join(filter(None, pair)) for pair in names]
            axes.set_yticks(range(len(names)), labels)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.tick_params(labelsize=6)
        handles, labels = axes.get_legend_handles_labels()
        title = f"change against uniform: mean over prompts, {bootstrap['confidence']:.0%} CI, "
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, title=title + text.counted(table)
        )

    return plotting.Part("", draw, 9.0, 2.6)


def _grid(title: str, pictures: xr.Dataset) -> plotting.Part:
    """Lay out one model and dataset: a row of pictures per sampling, schedules beneath."""
    names = [str(name) for name in pictures["sampling"].to_numpy()]
    prompts = pictures["prompt"].to_numpy()
    ratio = pictures.sizes["y"] / pictures.sizes["x"]
    heights = [1.3 * ratio * len(names) + 0.75, 0.85 + 0.2 * len(names)]

    def draw(figure: SubFigure) -> None:
        rows = figure.subfigures(2, 1, squeeze=False, height_ratios=heights, hspace=0.02)
        above, below = rows.flat
        grid = above.subplots(len(names), len(prompts), squeeze=False)
        for line, name in zip(grid, names, strict=True):
            for axes, image in zip(
                line, pictures["image"].sel(sampling=name).to_numpy(), strict=True
            ):
                overlays.picture(axes, image)
            line[0].set_ylabel(name, fontweight="bold")
        ids, seeds = (pictures[name].to_numpy() for name in ("prompt_id", "seed"))
        for axes, prompt, prompt_id, seed in zip(grid[0], prompts, ids, seeds, strict=True):
            title = text.wrapped(text.prompt_or_id(str(prompt), str(prompt_id)), 20)
            axes.set_title(f"{title}\nseed {seed}", fontsize=7)
        _schedules(below.subplots(), pictures["log_snr"], names)

    return plotting.Part(title, draw, 1.25 * len(prompts) + 0.5, sum(heights))


def _schedules(axes: Axes, log_snr: xr.DataArray, names: list[str]) -> None:
    """Draw a tick per step on the log-SNR axis, a row per sampling, with step numbers."""
    for row, name in enumerate(names):
        values = log_snr.sel(sampling=name).dropna("step")
        axes.plot(
            values,
            np.full(values.size, row),
            "|",
            color=plotting.PALETTE[row % len(plotting.PALETTE)],
            ms=8,
            mew=1.1,
        )
        kept = plotting.spaced(values.to_numpy(), 0.045)
        for step, value in zip(
            values["step"].to_numpy()[kept], values.to_numpy()[kept], strict=True
        ):
            axes.annotate(
                str(step),
                (value, row),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=5.5,
            )
    axes.set_yticks(range(len(names)), names)
    axes.set(
        ylim=(len(names) - 0.5, -0.75),
        xlabel="log-SNR (nats) of each step, numbered from the noisiest",
    )
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
