"""Figure of agreement (RQ2): whether methods say the same of words, steps and cells."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text

COLUMNS = [
    *(*plotting.SAMPLES, "method", "other", "over"),
    *("agreement", "beyond_prompts"),
]
PANELS = {"words": "over words of a step", "steps": "over steps of a word", "cells": "over cells"}
COLOURS, SCALE = "RdBu_r", Normalize(-1, 1)
CELL, WORDS_WIDTH = 0.46, 1.3  # inches


@plotting.styled
def agreement(table: pd.DataFrame, draws: int, confidence: float, seed: int) -> Figure:
    """Draw rq2_agreement as matrices of methods, of the sampling on which most methods are run.

    Below the diagonal means over prompts of Spearman's correlations, above it the same minus those
    with other prompts; bold where the interval over prompts leaves out 0.
    """
    bootstrap: plotting.Bootstrap = {"draws": draws, "confidence": confidence, "seed": seed}
    return plotting.stacked(
        [_part(title, rows, bootstrap) for title, rows in plotting.groups(table)]
    )


def _part(title: str, table: pd.DataFrame, bootstrap: plotting.Bootstrap) -> plotting.Part:
    """Lay out one model and dataset."""
    pairs = table.groupby("sampling", sort=False)[["method", "other"]].nunique().sum(axis=1)
    rows = table[table["sampling"] == pairs.idxmax()]
    panels = {over: of for over, of in _methods(rows).items() if of}
    by = ["over", "method", "other"]
    below, above = (
        plotting.intervals(rows, by, value, **bootstrap)
        for value in ("agreement", "beyond_prompts")
    )

    def draw(figure: SubFigure) -> None:
        widths = [len(methods) for methods in panels.values()]
        axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for panel, (over, methods) in zip(axes, panels.items(), strict=True):
            values, sure = _matrix(
                methods, below[below["over"] == over], above[above["over"] == over]
            )
            _draw(panel, values, sure, methods)
            panel.set_title(PANELS[over])
            panel.set_anchor("N")
        bar = figure.colorbar(ScalarMappable(SCALE, COLOURS), ax=axes, shrink=0.8, aspect=30)
        bar.set_label("Spearman's correlation\n(above the diagonal: beyond other prompts')")
        note = f"sampling {rows['sampling'].iloc[0]}, {text.counted(below)}"
        axes[0].set_xlabel(f"{note}; bold: interval without 0", loc="left", labelpad=4)

    sides = [CELL * len(methods) for methods in panels.values()]
    width = sum(sides) + WORDS_WIDTH * len(sides) + 1.2
    return plotting.Part(title, draw, width, max(sides) + WORDS_WIDTH + 0.5)


def _methods(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Methods of each panel: those that it compares, in the order of all."""
    every = plotting.listed([*rows["method"], *rows["other"]])
    found = {}
    for over in PANELS:
        some = rows[(rows["over"] == over) & rows["agreement"].notna()]
        there = {*some["method"], *some["other"]}
        found[over] = [method for method in every if method in there]
    return found


def _matrix(
    methods: list[str], below: pd.DataFrame, above: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates (method, method), and where the interval leaves out 0; NaN where there is none."""
    values = np.full((len(methods), len(methods)), np.nan)
    sure = np.zeros(values.shape, bool)
    for rows, lower in ((below, True), (above, False)):
        certain = (rows["ci_low"] > 0) | (rows["ci_high"] < 0)
        columns = (rows["method"], rows["other"], rows["estimate"], certain)
        for method, other, estimate, certainly in zip(*columns, strict=True):
            i, j = sorted((methods.index(method), methods.index(other)), reverse=lower)
            values[i, j], sure[i, j] = estimate, certainly
    return values, sure


def _draw(axes: Axes, values: np.ndarray, sure: np.ndarray, methods: list[str]) -> None:
    """Draw one matrix with its numbers."""
    axes.imshow(values, cmap=COLOURS, norm=SCALE)
    for i, j in np.argwhere(np.isfinite(values)):
        axes.text(
            *(j, i, f"{values[i, j]:.2f}".replace("0.", ".")),
            ha="center",
            va="center",
            fontsize=6,
            fontweight="bold" if sure[i, j] else "normal",
            color="white" if abs(values[i, j]) > 0.6 else "black",
        )
    names = [plotting.METHODS.get(method, method) for method in methods]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
