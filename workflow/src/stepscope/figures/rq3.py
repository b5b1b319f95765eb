"""Figure of RQ3's emergence: since when clean predictions show the final concept."""

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.statistics import summaries
from stepscope.statistics.clocks import VISIBLE

COLOURS = {"e_u": plotting.VERMILION, "e_c": plotting.ORANGE, "guided": plotting.BLUE}
CONCEPTS = [*plotting.STEPS, "reader", "prediction", "family", "concept", "probability"]
COUNTED = [*plotting.SAMPLES, "reader", "prediction", "family", "counted"]
ONSETS = [*plotting.SAMPLES, "clock", "reader", "family", "log_snr"]
GAP = 2.0  # nats between steps that no line crosses


@plotting.styled
def emergence(
    concepts: pd.DataFrame,
    counted: pd.DataFrame,
    clocks: pd.DataFrame,
    draws: int,
    confidence: float,
    seed: int,
    reader: str = "clip",
) -> Figure:
    """Draw the probability of what is true of the final picture over log-SNR, and its onsets.

    `concepts`, `counted` and `clocks` are rq3_concepts, rq3_emergence and rq3_clocks, of which a
    reader's rows are drawn; families are columns, samplings rows, predictions colours. Onsets are
    those beyond chance and the reader's errors.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    concepts, counted, clocks = (
        frame[frame["reader"] == reader] for frame in (concepts, counted, clocks)
    )
    predictions = {clock: prediction for prediction, clock in VISIBLE.items()}
    onsets = clocks.assign(prediction=clocks["clock"].map(predictions)).dropna(subset="prediction")
    return plotting.stacked(
        [
            _part(
                title,
                plotting.of_group(concepts, rows),
                plotting.of_group(counted, rows),
                rows,
                bootstrap,
            )
            for title, rows in plotting.groups(onsets)
        ]
    )


def _part(
    title: str,
    concepts: pd.DataFrame,
    counted: pd.DataFrame,
    onsets: pd.DataFrame,
    bootstrap: plotting.Bootstrap,
) -> plotting.Part:
    """Lay out one model and dataset: a row of panels per sampling, the onsets in the last row."""
    families = plotting.listed(onsets["family"])
    samplings = plotting.listed(onsets["sampling"])
    chance = 1 / concepts.groupby("family", observed=True)["concept"].nunique()
    final = plotting.compact(summaries.counted_probabilities(concepts, counted))
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
            line[0].set_ylabel(f"{sampling}\nprobability of the\nfinal concepts")
        for axes in grid[:-1, 1:].flat:
            axes.set_yticklabels([])
        for axes, family in zip(grid[0], families, strict=True):
            axes.set_title(family, fontweight="bold")
        for axes, family in zip(grid[-1], families, strict=True):
            _onsets(axes, onsets[onsets["family"] == family], samplings)
            plotting.log_snr_axis(axes)
        grid[-1, 0].set_ylabel("onset, beyond chance")
        for axes in grid[-1, 1:]:
            axes.set_yticklabels([])
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=4,
            title=f"clean prediction read by the probe (mean over prompts, {confidence:.0%} CI, "
            f"{count}, lines end at gaps of {GAP:g} nats; onsets: median, quartiles, 5 to 95 %, "
            "samples with one within the steps / all)",
        )

    return plotting.Part(title, draw, max(5.0, 1.75 * len(families) + 0.9), sum(heights) + 0.8)


def _probability(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    """Draw one sampling and family: a curve per prediction, and the chance level."""
    for prediction, colour in COLOURS.items():
        steps = plotting.broken(rows[rows["prediction"] == prediction], GAP)
        label = plotting.PREDICTIONS[prediction]
        plotting.line(axes, steps["log_snr"], steps, color=colour, label=label, marker=".", ms=2)
    if len(rows):
        axes.annotate(f"n = {rows['n'].max()}", (0.97, 0.05), xycoords="axes fraction", ha="right")
    axes.axhline(chance, color=plotting.GREY, lw=0.8, ls=(0, (3, 2)), label="chance (1 / concepts)")
    axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1])


def _onsets(axes: Axes, rows: pd.DataFrame, samplings: list[str]) -> None:
    """Draw onsets over samples: median, quartiles, 5 to 95 %, per sampling and prediction."""
    seaborn.boxplot(
        onsets_of(rows),
        x="log_snr",
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
                f"{box['log_snr'].notna().sum()}/{len(box)}",
                (1.02, index + 0.8 * ((offset + 0.5) / len(COLOURS) - 0.5)),
                xycoords=("axes fraction", "data"),
                color=colour,
                fontsize=5.5,
                va="center",
                ha="left",
            )


def onsets_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the onsets that there are, with plain text for the groups."""
    onsets = rows.dropna(subset="log_snr")
    return onsets.astype({"sampling": str, "prediction": str})
