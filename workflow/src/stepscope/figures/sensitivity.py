"""Figure of the sensitivity of RQ1's verdicts: every finding under every choice of the tables."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.figures.claims import VERDICTS

PRIMARY = "primary"
ROW, COLUMN = 0.36, 0.42  # inches of a finding and of a choice
LABEL, HEAD = 3.4, 1.9  # inches beside and around the cells
HALF = 0.42  # of a cell, for the interval
WIDEST = 1.5  # intervals that a cell holds, in those of the primary choice from zero


@plotting.styled
def draw(table: pd.DataFrame, confidence: float) -> Figure:
    """Draw rq1_sensitivity: a panel a claim, a row a finding, a column a choice.

    A cell has the estimate and its interval against zero, coloured by the verdict, and n. All cells
    of a row have one scale, by which what the primary choice found fills most of its cell.
    """
    return plotting.stacked(
        [
            _part(f"{title} · {claim}" if title else str(claim), rows, confidence)
            for title, of_unit in plotting.groups(table)
            for claim, rows in of_unit.groupby("claim", sort=False)
        ]
    )


def _part(title: str, rows: pd.DataFrame, confidence: float) -> plotting.Part:
    """Lay out the findings of one claim, model and dataset."""
    findings, columns = plotting.listed(rows["statistic"].map(_named)), choices(rows)

    def paint(figure: SubFigure) -> None:
        axes = figure.subplots()
        for (_, row), height in zip(rows.iterrows(), _heights(rows, findings), strict=True):
            place = columns.index((row["choice"], row["instead"]))
            _cell(axes, place, height, row, _scale(rows, findings, height))
        _frame(axes, findings, columns)
        for verdict in plotting.listed(rows["verdict"]):
            axes.plot([], [], "o", color=VERDICTS[verdict], label=verdict.replace("_", " "))
        legend = f"estimate and {confidence:.0%} CI against zero, number of prompts"
        figure.legend(loc="outside lower center", ncols=4, title=legend)

    size = LABEL + COLUMN * len(columns), HEAD + ROW * len(findings)
    return plotting.Part(title, paint, max(size[0], 7.2), size[1])


def choices(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(choice, instead) of a claim's rows, the primary one first, those of a kind together."""
    pairs = list(dict.fromkeys(zip(rows["choice"], rows["instead"], strict=True)))
    kinds = plotting.listed(kind for kind, _ in pairs)
    return sorted(pairs, key=lambda pair: kinds.index(pair[0]))


def _named(statistic: str) -> str:
    """A statistic without the substrate and the score, which some choices change."""
    before, opened, after = statistic.partition(" AUC (")
    return f"{before} AUC{after.partition(')')[2]}" if opened else statistic


def _heights(rows: pd.DataFrame, findings: list[str]) -> list[int]:
    return [findings.index(name) for name in rows["statistic"].map(_named)]


def _scale(rows: pd.DataFrame, findings: list[str], height: int) -> float:
    """What fills half of a cell in a finding's row."""
    of_row = rows[rows["statistic"].map(_named) == findings[height]]
    first = of_row[of_row["choice"] == PRIMARY] if (of_row["choice"] == PRIMARY).any() else of_row
    ends = (first if first["estimate"].notna().any() else of_row)[["ci_low", "ci_high"]]
    largest = np.nanmax(np.abs(ends.to_numpy(float)), initial=0.0)
    return WIDEST * largest or 1.0


def _cell(axes: Axes, place: int, height: int, row: pd.Series, scale: float) -> None:
    """Draw what was found of a finding under a choice, cut at the borders of the cell."""
    colour, is_primary = VERDICTS[row["verdict"]], row["choice"] == PRIMARY
    axes.plot([place] * 2, [height - 0.32, height + 0.22], color="0.85", lw=0.5, zorder=0)
    numbers = row[["estimate", "ci_low", "ci_high"]].to_numpy(float)
    if np.isfinite(numbers).all():
        at, low, high = place + HALF * np.clip(numbers / scale, -1, 1)
        axes.plot([low, high], [height - 0.05] * 2, color=colour, lw=1.6 if is_primary else 1.1)
        axes.plot(
            at, height - 0.05, "D" if is_primary else "o", color=colour, ms=4 if is_primary else 3
        )
    axes.annotate(
        f"{row['n']:.0f}", (place, height + 0.36), ha="center", va="center", fontsize=4, color="0.4"
    )


def _frame(axes: Axes, findings: list[str], columns: list[tuple[str, str]]) -> None:
    """Name rows and columns, and set apart the kinds of choices."""
    kinds = [kind for kind, _ in columns]
    axes.axvspan(-0.5, 0.5, color="0.95", zorder=-1)
    for kind in plotting.listed(kinds):
        first = kinds.index(kind)
        axes.axvline(first - 0.5, color="0.7", lw=0.5)
        axes.annotate(
            kind,
            (first - 0.42, 1),
            (0, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=5.5,
            fontweight="bold",
        )
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(findings) - 0.5, -1.0))
    for height in range(1, len(findings)):
        axes.axhline(height - 0.5, color="0.92", lw=0.5, zorder=-1)
    labels = [text.wrapped(name, 62) for name in findings]
    axes.set_yticks(range(len(findings)), labels, fontsize=5.5)
    axes.xaxis.tick_top()
    names = [instead for _, instead in columns]
    axes.set_xticks(range(len(columns)), names, fontsize=6, rotation=45, ha="left")
    axes.tick_params(length=0)
