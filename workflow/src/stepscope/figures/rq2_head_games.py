"""Figure of the attention heads' game (RQ2): with which heads a word's effect is lost."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.statistics.head_games import areas_of

COLUMNS = [*plotting.STEPS, "timestep", "word", "word_index", "role", "method"]
COLUMNS += ["weakened", "lost", "changed"]
WHOLE = "prompt"  # the role of the prompt as a whole
# Those whose names do not say what heads are ranked by.
RANKED = {
    "alone": "each head's own effect",
    "relevance": "relevance by head",
    "random": "random orders",
}
MASS = "_mass"
FIXED = {"random": plotting.GREY, "alone": "black"}


@plotting.styled
def head_games(table: pd.DataFrame, draws: int, confidence: float, seed: int) -> Figure:
    """Draw what is lost over the share of weakened heads, and the areas, by what ranks the heads.

    From rq2_head_games: the whole prompt, and the words with a role together. Means over a sample's
    words and steps, then over seeds, with intervals over prompts.
    """
    bootstrap: plotting.Bootstrap = {"draws": draws, "confidence": confidence, "seed": seed}
    return plotting.stacked(
        [
            plotting.Part(
                " · ".join(filter(None, [title, str(sampling)])),
                partial(_draw, rows=of, bootstrap=bootstrap),
                7.2,
                2.5 + 0.24 * of["method"].nunique(),
            )
            for title, rows in plotting.groups(table)
            for sampling, of in rows.groupby("sampling", sort=False)
        ]
    )


def named(method: str) -> str:
    """What a method's order of heads goes by, in words."""
    if method in RANKED:
        return RANKED[method]
    name = plotting.METHODS.get(method.removesuffix(MASS), method.removesuffix(MASS))
    return f"{name}: {'amount' if method.endswith(MASS) else 'average precision'}"


def _draw(figure: SubFigure, rows: pd.DataFrame, bootstrap: plotting.Bootstrap) -> None:
    """Draw the curves above, the areas below, a column each for the prompt and its words."""
    methods = plotting.listed(rows["method"])
    others = iter(plotting.PALETTE)
    colours = {name: FIXED[name] if name in FIXED else next(others) for name in methods}
    heights = [2.0, 0.4 + 0.24 * len(methods)]
    panels = figure.subplots(2, 2, sharex="row", sharey="row", height_ratios=heights)
    roles = plotting.listed(rows.loc[rows["role"] != WHOLE, "role"])
    names = {True: "the whole prompt", False: f"words: {', '.join(roles)}"}
    for (curves, areas), (whole, name) in zip(panels.T, names.items(), strict=True):
        of = rows[(rows["role"] == WHOLE) == whole]
        if of.empty:
            curves.set_axis_off()
            areas.set_axis_off()
            continue
        means = plotting.intervals(of, ["method", "weakened"], "lost", **bootstrap)
        for method, of_method in means.groupby("method", sort=False):
            style = {"color": colours[str(method)], "lw": 1.2}
            plotting.line(curves, of_method["weakened"], of_method, **style)
        curves.plot([0, 1], [0, 1], color="0.85", lw=0.6, zorder=0)
        steps = ", ".join(map(str, sorted(of["step"].unique())))
        curves.set_title(f"{name}\n{text.counted(means)}, steps {steps}")
        curves.set_xlabel("share of heads weakened")
        _areas(areas, of, colours, bootstrap)
    panels[0, 0].set_ylabel("share of the effect lost")


def _areas(
    axes: Axes, rows: pd.DataFrame, colours: Mapping[str, Any], bootstrap: plotting.Bootstrap
) -> None:
    """Draw the mean area of each method with its interval over prompts."""
    table = plotting.intervals(areas_of(rows), ["method"], "auc_lost", **bootstrap)
    for y, (method, colour) in enumerate(colours.items()):
        row = table[table["method"] == method]
        axes.hlines([y] * len(row), row["ci_low"], row["ci_high"], color=colour, lw=1.4)
        axes.plot(row["estimate"], [y] * len(row), "o", color=colour, ms=3.5)
    axes.set_yticks(range(len(colours)), [named(method) for method in colours])
    axes.set_ylim(len(colours) - 0.5, -0.5)
    axes.set_xlabel(f"area, higher is better →\n(mean, {bootstrap['confidence']:.0%} CI)")
