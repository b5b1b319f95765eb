"""Figures of RQ2: whose map finds a word's region, by step, and by the attention's resolution."""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.language import ROLES

MEASURES = {
    "pointing_near": "largest cell in the region\nor at most a sixteenth away",
    "iou_held_out": "IoU at the threshold\nof other prompts",
    "average_precision": "average precision",
}
BASELINES = ("random", "centre")
TRACED = "cross_attention"  # whose mean IoU a step is also read from the trace, by resolution
GROUNDING = [*plotting.STEPS, "word_index", "role", "method", *MEASURES]
HEADS = [*plotting.STEPS, "word_index", "role", "method", "layer", "resolution", "iou_best"]


@plotting.styled
def by_step(
    grounding: pd.DataFrame, heads: pd.DataFrame, draws: int, confidence: float, seed: int
) -> Figure:
    """Draw how well each method's maps find words with a role, over log-SNR, and attention's.

    Above, means over prompts by rq2_grounding, a line a method; below, the best IoU of the trace's
    attention by rq2_heads, a panel a role and a line a resolution, of each unit's first sampling.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    parts = []
    for title, rows in plotting.groups(grounding[grounding["role"] != ""]):
        first = rows["sampling"].iloc[0]
        of_first = rows[rows["sampling"] == first]
        traced = plotting.of_group(heads, rows)
        traced = traced[(traced["sampling"] == first) & (traced["method"] == TRACED)]
        traced = traced[(traced["role"] != "") & (traced["layer"] == "")]
        named = " · ".join(filter(None, [title, str(first)]))
        parts.append(plotting.Part(named, partial(_methods, of_first, bootstrap), 7.2, 2.9))
        if len(traced):
            parts.append(plotting.Part("", partial(_resolutions, traced, bootstrap), 7.2, 2.5))
    return plotting.stacked(parts)


def _methods(rows: pd.DataFrame, bootstrap: plotting.Bootstrap, figure: SubFigure) -> None:
    """Draw a panel a measure, a line a method; baselines are grey."""
    names = [name for name in plotting.listed(rows["method"]) if name not in BASELINES]
    colours = dict(zip(names, plotting.PALETTE * 3, strict=False))
    dashes = dict(zip(BASELINES, [(0, (1, 1)), (0, (4, 2))], strict=True))
    counts = []
    for axes, (measure, label) in zip(figure.subplots(1, 3), MEASURES.items(), strict=True):
        known = rows.dropna(subset=[measure])
        means = plotting.intervals(known, ["method", "step", "log_snr"], measure, **bootstrap)
        for name in [*BASELINES, *names]:
            of_name = means[means["method"] == name].sort_values("step")
            style = {
                "color": colours.get(name, plotting.GREY),
                "ls": dashes.get(name, "-"),
                "label": plotting.METHODS.get(name, name),
            }
            plotting.line(axes, of_name["log_snr"], of_name, **style)
        _finish(axes, rows)
        axes.set_title(label)
        counts.append(means)
    count = text.counted(pd.concat(counts))
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        title=f"maps by (words with a role; mean over prompts, {_share(bootstrap)}, {count})",
    )


def _resolutions(rows: pd.DataFrame, bootstrap: plotting.Bootstrap, figure: SubFigure) -> None:
    """Draw a panel a role, a line a resolution of the trace's attention."""
    roles = [role for role in ROLES if role in set(rows["role"])]
    grids = sorted(set(rows["resolution"]), key=lambda grid: int(grid.partition("x")[0]))
    by = ["role", "resolution", "step", "log_snr"]
    means = plotting.intervals(rows.dropna(subset=["iou_best"]), by, "iou_best", **bootstrap)
    panels = figure.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    for axes, role in zip(panels, roles, strict=True):
        for grid, colour in zip(grids, plotting.PALETTE, strict=False):
            of_grid = means[(means["role"] == role) & (means["resolution"] == grid)]
            of_grid = of_grid.sort_values("step")
            plotting.line(axes, of_grid["log_snr"], of_grid, color=colour, label=grid)
        axes.set_title(role)
        _finish(axes, rows, share=0.2)
    panels[0].set_ylabel("best IoU of attention")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(grids),
        title=f"resolution ({_share(bootstrap)}, {text.counted(means)})",
    )


def _finish(axes: Axes, rows: pd.DataFrame, share: float = 0.14) -> None:
    """Label both time axes."""
    plotting.step_axis(axes, rows, share=share)
    plotting.log_snr_axis(axes)


def _share(bootstrap: plotting.Bootstrap) -> str:
    """Name the intervals."""
    return f"{bootstrap['confidence']:.0%} CI"
