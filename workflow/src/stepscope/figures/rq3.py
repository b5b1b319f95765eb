"""Figure of RQ3's emergence: since when clean predictions show the final concept."""

from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.statistics.clocks import VISIBLE

COLOURS = {"e_u": plotting.VERMILION, "e_c": plotting.ORANGE, "guided": plotting.BLUE}
CONCEPTS = [*plotting.STEPS, "reader", "prediction", "family", "concept", "probability"]
COUNTED = [*plotting.SAMPLES, "reader", "prediction", "family", "counted"]
ONSETS = [*plotting.SAMPLES, "clock", "reader", "family", "log_snr"]
READER = "clip"
GAP = 2.0  # nats between steps that no line crosses


@plotting.styled
def emergence(
    courses: pd.DataFrame,
    concepts: Mapping[str, Sequence[str]],
    clocks: pd.DataFrame,
    confidence: float,
    reader: str = READER,
) -> Figure:
    """Draw the probability of what is true of the final picture over log-SNR, and its onsets.

    `courses` are the means of a reader (`summaries.concept_courses`), `concepts` those of each
    family, and `clocks` is rq3_clocks, of which the reader's rows are drawn; families are columns,
    samplings rows, predictions colours. Onsets are those beyond chance and the reader's errors.
    """
    clocks = clocks[clocks["reader"] == reader]
    predictions = {clock: prediction for prediction, clock in VISIBLE.items()}
    onsets = clocks.assign(prediction=clocks["clock"].map(predictions)).dropna(subset="prediction")
    return plotting.stacked(
        [
            _part(
                title,
                plotting.of_group(courses, rows),
                {family: 1 / len(names) for family, names in concepts.items()},
                rows,
                confidence,
            )
            for title, rows in plotting.groups(onsets)
        ]
    )


def _part(
    title: str,
    table: pd.DataFrame,
    chance: Mapping[str, float],
    onsets: pd.DataFrame,
    confidence: float,
) -> plotting.Part:
    """Lay out one model and dataset: a row of panels per sampling, the onsets in the last row."""
    families = plotting.listed(onsets["family"])
    samplings = plotting.listed(onsets["sampling"])
    count = text.counted(table)
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
