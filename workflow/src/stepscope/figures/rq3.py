"""Figures of RQ3: which visual concept a step decides."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import overlays, plotting, text
from stepscope.statistics import summaries

COLOURS = {"e_u": plotting.VERMILION, "e_c": plotting.ORANGE, "guided": plotting.BLUE}
CONCEPTS = [*plotting.STEPS, "prediction", "family", "concept", "probability"]
ONSETS = [*plotting.SAMPLES, "prediction", "family", "concept", "onset_log_snr"]


@plotting.styled
def emergence(
    concepts: pd.DataFrame, onsets: pd.DataFrame, draws: int, confidence: float, seed: int
) -> Figure:
    """Draw the probability of the final concept over log-SNR, and where it comes on top for good.

    `concepts` and `onsets` are rq3_concepts and rq3_emergence; families are columns, samplings
    rows, predictions colours.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    concepts = plotting.compact(concepts)
    return plotting.stacked(
        [
            _part(title, plotting.of_group(concepts, rows), rows, bootstrap)
            for title, rows in plotting.groups(onsets)
        ]
    )


def _part(
    title: str, concepts: pd.DataFrame, onsets: pd.DataFrame, bootstrap: plotting.Bootstrap
) -> plotting.Part:
    """Lay out one model and dataset: a row of panels per sampling, the onsets in the last row."""
    families = plotting.listed(onsets["family"])
    samplings = plotting.listed(onsets["sampling"])
    chance = 1 / concepts.groupby("family", observed=True)["concept"].nunique()
    final = summaries.final_concepts(concepts)
    by = ["sampling", "family", "prediction", "step", "log_snr"]
    table = plotting.intervals(final, by, "probability", **bootstrap)
    confidence, count = bootstrap["confidence"], text.counted(table)
    heights = [*[1.5] * len(samplings), 0.75 + 0.2 * len(samplings) * len(COLOURS)]

    def draw(figure: SubFigure) -> None:
        grid = figure.subplots(
            len(heights), len(families), sharex=True, squeeze=False, height_ratios=heights
        )
        for line, sampling in zip(grid[:-1], samplings, strict=True):
            for axes, family in zip(line, families, strict=True):
                rows = table[(table["sampling"] == sampling) & (table["family"] == family)]
                _probability(axes, rows, chance[family])
                plotting.step_axis(axes, rows, share=0.14)
            line[0].set_ylabel(f"{sampling}\nprobability of\nthe final concept")
        for axes in grid[:-1, 1:].flat:
            axes.set_yticklabels([])
        for axes, family in zip(grid[0], families, strict=True):
            axes.set_title(family, fontweight="bold")
        for axes, family in zip(grid[-1], families, strict=True):
            _onsets(axes, onsets[onsets["family"] == family], samplings)
            plotting.log_snr_axis(axes)
        grid[-1, 0].set_ylabel("onset: on top\nfor good from here")
        for axes in grid[-1, 1:]:
            axes.set_yticklabels([])
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=4,
            title=f"clean prediction read by the probe (mean over prompts, {confidence:.0%} CI, "
            f"{count}; onsets: median, quartiles, 5 to 95 %, samples with one / all)",
        )

    return plotting.Part(title, draw, max(5.0, 1.75 * len(families) + 0.9), sum(heights) + 0.8)


def _probability(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    """Draw one sampling and family: a curve per prediction, and the chance level."""
    for prediction, colour in COLOURS.items():
        steps = rows[rows["prediction"] == prediction].sort_values("step")
        label = plotting.PREDICTIONS[prediction]
        plotting.line(axes, steps["log_snr"], steps, color=colour, label=label)
    axes.axhline(chance, color=plotting.GREY, lw=0.8, ls=(0, (3, 2)), label="chance (1 / concepts)")
    axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1])


def _onsets(axes: Axes, rows: pd.DataFrame, samplings: list[str]) -> None:
    """Draw onsets over samples: median, quartiles, 5 to 95 %, per sampling and prediction."""
    seaborn.boxplot(
        onsets_of(rows),
        x="onset_log_snr",
        y="sampling",
        hue="prediction",
        order=samplings,
        hue_order=list(COLOURS),
        palette=COLOURS,
        whis=(5, 95),
        showfliers=False,
        linewidth=0.7,
        gap=0.2,
        legend=False,
        ax=axes,
    )
    axes.set(ylabel="")
    for index, sampling in enumerate(samplings):
        for offset, (prediction, colour) in enumerate(COLOURS.items()):
            box = rows[(rows["sampling"] == sampling) & (rows["prediction"] == prediction)]
            axes.annotate(
                f"{box['onset_log_snr'].notna().sum()}/{len(box)}",
                (1.02, index + 0.8 * ((offset + 0.5) / len(COLOURS) - 0.5)),
                xycoords=("axes fraction", "data"),
                color=colour,
                fontsize=5.5,
                va="center",
                ha="left",
            )


def onsets_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the onsets that there are, with plain text for the groups."""
    onsets = rows.dropna(subset="onset_log_snr")
    return onsets.astype({"sampling": str, "prediction": str})


@plotting.styled
def samplings(pictures: Sequence[xr.Dataset]) -> Figure:
    """Draw the same prompts and seeds under each sampling, above the log-SNR of the steps.

    Each dataset (see `samples.load_by_sampling`) holds the pictures of a model and dataset of
    prompts.
    """
    several = len(pictures) > 1
    return plotting.stacked(
        [_grid(text.unit_of(unit) if several else "", unit) for unit in pictures]
    )


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
