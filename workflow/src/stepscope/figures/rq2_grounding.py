"""Figures of RQ2: whose map finds a word's region, by step, and by the attention's resolution."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting, text
from stepscope.language import ROLES
from stepscope.statistics.gathering import UNIT, over_blocks, unit_of
from stepscope.statistics.inference import all_per_sample

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
    grounding: Iterable[pd.DataFrame],
    heads: Iterable[pd.DataFrame],
    draws: int,
    confidence: float,
    seed: int,
) -> Figure:
    """Draw how well each method's maps find words with a role, over log-SNR, and attention's.

    Above, means over prompts by rq2_grounding, a line a method; below, the best IoU of the trace's
    attention by rq2_heads, a panel a role and a line a resolution, of each unit's first sampling.
    Both tables come as blocks of rows (`store.tables.blocks`).
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    lines = _means(grounding, _with_role, ["method"], list(MEASURES), bootstrap)
    traced = _means(heads, _traced, ["role", "resolution"], ["iou_best"], bootstrap)
    share = f"{confidence:.0%} CI"
    parts = []
    for title, means in plotting.groups(lines):
        named = " · ".join(filter(None, [title, str(means["sampling"].iloc[0])]))
        parts.append(plotting.Part(named, partial(_methods, means, share), 7.2, 2.9))
        of_trace = plotting.of_group(traced, means)
        if len(of_trace):
            parts.append(plotting.Part("", partial(_resolutions, of_trace, share), 7.2, 2.5))
    return plotting.stacked(parts)


def _with_role(block: pd.DataFrame) -> pd.DataFrame:
    """Rows of words with a role."""
    return block[block["role"] != ""]


def _traced(block: pd.DataFrame) -> pd.DataFrame:
    """Rows of words with a role in the trace's attention, over all layers of a resolution."""
    return _with_role(block[(block["method"] == TRACED) & (block["layer"] == "")])


def _means(
    blocks: Iterable[pd.DataFrame],
    chosen: Callable[[pd.DataFrame], pd.DataFrame],
    by: Sequence[str],
    measures: Sequence[str],
    bootstrap: plotting.Bootstrap,
) -> pd.DataFrame:
    """Means over prompts of the rows that are chosen, of the first sampling of each unit.

    A row a `measure`, `by`, step and unit, in which each of `by` comes in the order of the table.
    """
    first: dict[tuple[str, str], str] = {}
    orders: dict[str, dict[str, int]] = {name: {} for name in by}

    def values(block: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
        model, dataset, sampling = unit_of(block)
        rows = chosen(block)
        if not len(rows) or first.setdefault((model, dataset), sampling) != sampling:
            return
        for name, order in orders.items():
            for each in plotting.listed(rows[name]):
                order.setdefault(each, len(order))
        of_sample = all_per_sample(rows, [*UNIT, *by, "step", "log_snr"], measures)
        yield from ((measure, of_sample[measure].dropna()) for measure in measures)

    found = over_blocks(blocks, values, **bootstrap)
    means = [of.assign(measure=key) for key, units in found.items() for of in units.values()]
    whole = pd.concat(means or [pd.DataFrame(columns=[*UNIT, *by, "measure", "step", "n"])])
    for name in reversed(by):
        places = whole[name].map(orders[name]).to_numpy()
        whole = whole.iloc[np.argsort(places, kind="stable")]
    return whole[whole["n"] > 0]


def _methods(means: pd.DataFrame, share: str, figure: SubFigure) -> None:
    """Draw a panel a measure, a line a method; baselines are grey."""
    names = [name for name in plotting.listed(means["method"]) if name not in BASELINES]
    colours = dict(zip(names, plotting.PALETTE * 3, strict=False))
    dashes = dict(zip(BASELINES, [(0, (1, 1)), (0, (4, 2))], strict=True))
    for axes, (measure, label) in zip(figure.subplots(1, 3), MEASURES.items(), strict=True):
        of_measure = means[means["measure"] == measure]
        for name in [*BASELINES, *names]:
            of_name = of_measure[of_measure["method"] == name].sort_values("step")
            style = {
                "color": colours.get(name, plotting.GREY),
                "ls": dashes.get(name, "-"),
                "label": plotting.METHODS.get(name, name),
            }
            plotting.line(axes, of_name["log_snr"], of_name, **style)
        _finish(axes, means)
        axes.set_title(label)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        title=f"maps by (words with a role; mean over prompts, {share}, {text.counted(means)})",
    )


def _resolutions(means: pd.DataFrame, share: str, figure: SubFigure) -> None:
    """Draw a panel a role, a line a resolution of the trace's attention."""
    roles = [role for role in ROLES if role in set(means["role"])]
    grids = sorted(set(means["resolution"]), key=lambda grid: int(grid.partition("x")[0]))
    panels = figure.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    for axes, role in zip(panels, roles, strict=True):
        for grid, colour in zip(grids, plotting.PALETTE, strict=False):
            of_grid = means[(means["role"] == role) & (means["resolution"] == grid)]
            of_grid = of_grid.sort_values("step")
            plotting.line(axes, of_grid["log_snr"], of_grid, color=colour, label=grid)
        axes.set_title(role)
        _finish(axes, means, share=0.2)
    panels[0].set_ylabel("best IoU of attention")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(grids),
        title=f"resolution ({share}, {text.counted(means)})",
    )


def _finish(axes: Axes, rows: pd.DataFrame, share: float = 0.14) -> None:
    """Label both time axes."""
    plotting.step_axis(axes, rows, share=share)
    plotting.log_snr_axis(axes)
