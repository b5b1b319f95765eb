"""Figure of the negative controls (RQ1): what is left of maps whose weights are random."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.statistics import inference

SCORES = ("correlation", "ceiling", "other_sample")
COLUMNS = [*plotting.STEPS, "method", "control", "block", "depth", *SCORES]  # of rq1_controls
LABELS = {
    "ceiling": "its own, another seed",
    "weights": "random weights",
    "prompt": "another prompt",
    "latent": "another latent",
    "other_sample": "another sample's map",
}
LINES = {"ceiling": "--", "other_sample": ":"}  # what a cascade is held against
LEFT = 0.5  # of its way from chance to the ceiling; a map that keeps more survives random weights


@plotting.styled
def controls(table: pd.DataFrame, draws: int, confidence: float, seed: int) -> Figure:
    """Draw rq1_controls: a row a method, its controls at the left, its cascade at the right.

    Means over prompts with intervals, a colour a step; below, which maps survive random weights.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    parts = []
    for title, rows in plotting.groups(table):
        for sampling, of_sampling in rows.groupby("sampling", sort=False):
            name = " · ".join(filter(None, [title, str(sampling)]))
            height = 1.2 * of_sampling["method"].nunique() + 1.5
            parts.append(plotting.Part(name, partial(_draw, of_sampling, bootstrap), 7.2, height))
    return plotting.stacked(parts)


def kept(table: pd.DataFrame) -> pd.Series:
    """Share, by method, that maps keep under random weights of the way from chance to the ceiling.

    Chance is another sample's map. Means over prompts (words, steps and seeds averaged first); NaN
    where the ceiling is no better than chance.
    """
    random = table[table["control"] == "weights"].dropna(subset=list(SCORES))
    chance, found, ceiling = (
        inference.per_prompt(inference.per_sample(random, ["method"], name))
        .groupby("method")
        .mean()
        for name in ("other_sample", "correlation", "ceiling")
    )
    way = ceiling - chance
    return ((found - chance) / way.where(way > 0)).reindex(plotting.listed(random["method"]))


def survivors(table: pd.DataFrame) -> str:
    """Sentence that names the methods whose maps survive random weights, by `kept`."""
    share = kept(table).dropna()
    if share.empty:
        return "No map is compared with one by random weights."
    found = [f"{_name(str(name))} ({value:.0%})" for name, value in share.items() if value >= LEFT]
    return (
        "Maps that survive random weights, which keep half or more of the way from another "
        f"sample's map to the ceiling: {', '.join(found) or 'none'}."
    )


def _name(method: str) -> str:
    return plotting.METHODS.get(method, method)


def _draw(rows: pd.DataFrame, bootstrap: plotting.Bootstrap, figure: SubFigure) -> None:
    """Draw one sampling."""
    methods = plotting.listed(rows["method"])
    cascade = rows[rows["control"] == "cascade"]
    shown, columns = _labelled(rows), 2 if len(cascade) else 1
    grid = figure.subplots(len(methods), columns, squeeze=False, sharex="col", sharey="col")
    counted = []
    for line, method in zip(grid, methods, strict=True):
        counted.append(_controls(line[0], shown[shown["method"] == method], bootstrap))
        line[0].set_title(_name(method), loc="left", fontweight="bold")
        if columns > 1:
            _cascade(line[1], rows[rows["method"] == method], bootstrap)
    grid[-1, 0].set_xlabel("rank correlation with the method's own map")
    if columns > 1:
        grid[0, 1].set_title("blocks drawn anew, one after another", loc="left")
        blocks = cascade.drop_duplicates("depth").sort_values("depth")
        grid[-1, 1].set_xticks(blocks["depth"], blocks["block"], rotation=45, ha="right")
    title = (
        f"mean over prompts, {bootstrap['confidence']:.0%} CI, "
        f"{text.counted(pd.concat(counted))}; dashed: ceiling, dotted: another sample's map\n"
    )
    handles = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        *handles,
        loc="outside lower center",
        ncols=len(handles[0]),
        title=title + text.wrapped(survivors(rows), 110),
    )


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with a `label` and a `value`: a sample's ceiling and chance once, and its controls."""
    once = rows[rows["control"] == rows["control"].iloc[0]]
    once = once[once["depth"] == once["depth"].iloc[0]]
    of_controls = rows[rows["control"].isin(LABELS)]
    return pd.concat(
        [
            *(once.assign(label=name, value=once[name]) for name in LINES),
            of_controls.assign(label=of_controls["control"], value=of_controls["correlation"]),
        ]
    )


def _controls(axes: Axes, rows: pd.DataFrame, bootstrap: plotting.Bootstrap) -> pd.DataFrame:
    """Draw a method's controls, a line each, a colour a step; return the means."""
    means = plotting.intervals(rows, ["label", "step"], "value", **bootstrap)
    labels = [name for name in LABELS if name in set(rows["label"])]
    colours = plotting.step_colours(rows["step"])
    offsets = np.linspace(-0.25, 0.25, len(colours)) if len(colours) > 1 else [0]
    for (step, colour), offset in zip(colours.items(), offsets, strict=True):
        of_step = means[means["step"] == step]
        y = of_step["label"].map(labels.index) + offset
        axes.hlines(y, of_step["ci_low"], of_step["ci_high"], color=colour, lw=1.4)
        axes.plot(of_step["estimate"], y, "o", color=colour, ms=3.5, label=f"step {step}")
    axes.axvline(0, color="0.85", lw=0.6, zorder=0)
    axes.set_yticks(range(len(labels)), [LABELS[name] for name in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set(xlim=(-1.05, 1.05), xticks=(-1, -0.5, 0, 0.5, 1))
    return means


def _cascade(axes: Axes, rows: pd.DataFrame, bootstrap: plotting.Bootstrap) -> None:
    """Draw a method's correlation by the number of blocks drawn anew, a line a step."""
    rows = rows[rows["control"] == "cascade"]
    means = plotting.intervals(rows, ["step", "depth"], "correlation", **bootstrap)
    for step, colour in plotting.step_colours(rows["step"]).items():
        of_step = means[means["step"] == step]
        plotting.line(axes, of_step["depth"], of_step, color=colour, marker="o")
        for name, style in LINES.items():
            level = plotting.intervals(rows[rows["step"] == step], ["step"], name, **bootstrap)
            for value in level["estimate"]:
                axes.axhline(value, color=colour, lw=0.8, ls=style)
    axes.axhline(0, color="0.85", lw=0.6, zorder=0)
    axes.set_ylim(-1.05, 1.05)
