"""What the figures share: style, saving, intervals over prompts, time axes, overlays."""

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypedDict

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from stepscope.figures import text
from stepscope.figures.text import STYLE
from stepscope.statistics import gathering, inference

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph of a PDF
PALETTE = seaborn.color_palette("colorblind")  # told apart under the common deficiencies
BLUE, ORANGE, GREEN, VERMILION, *_ = PALETTE
GREY = "0.55"
DECIMALS = 6  # of positions, as shares of a figure: far less than a pixel, far more than noise
UNITS = ["model", "dataset", "sampling"]  # what is never pooled
SAMPLES = [*UNITS, "prompt_id", "seed"]  # keys of a table of samples
STEPS = [*SAMPLES, "step", "log_snr"]  # keys of a table with steps
METHODS = {
    "df_rise": "DF-RISE",
    "df_rise_paper": "DF-RISE, paper",
    "df_rise_official": "DF-RISE, official",
    "df_cam": "DF-CAM",
    "df_cam_word": "DF-CAM, word",
    "cross_attention": "cross-attention",
    "relevance": "relevance",
    "information": "word information",
    "occlusion": "occlusion",
    "integrated_gradients": "integrated gradients",
    "gradient_times_input": "gradient times input",
    "lime": "LIME",
    "word_removal": "word removal",
    "word_removal_along": "word removal, along",
    "word_values": "Shapley values",
    "word_values_banzhaf": "Banzhaf values",
    "attention_heads": "attention, all heads",
    "selected_heads": "attention, selected heads",
    "random": "random map",
    "centre": "centre map",
    "edge": "edge map",
}
PREDICTIONS = {"e_u": "empty prompt (e_u)", "e_c": "prompt (e_c)", "guided": "guided"}


class Part(NamedTuple):
    """A part of a figure: what draws it, and its size in inches."""

    title: str
    draw: Callable[[SubFigure], None]
    width: float
    height: float


class Bootstrap(TypedDict):
    """How intervals are drawn: number of draws, confidence in 0..1, seed."""

    draws: int
    confidence: float
    seed: int


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a figure function draw in the project's style and leave matplotlib's settings alone."""

    @functools.wraps(draw)
    def inner(*args: Any, **kwargs: Any) -> Figure:
        with mpl.rc_context(fname=STYLE):
            return draw(*args, **kwargs)

    return inner


def save(figure: Figure, pdf: str, png: str) -> None:
    """Write a figure as vector PDF and as PNG, byte for byte the same in every run."""
    settle(figure)
    of_pdf = {"CreationDate": None, "Producer": None, "Creator": None}
    with mpl.rc_context(fname=STYLE):
        for path, metadata in ((pdf, of_pdf), (png, {"Software": None})):
            figure.savefig(path, metadata=metadata)


def settle(figure: Figure) -> None:
    """Lay a figure out once and for all, at positions without the noise of the layout's solver.

    It orders its variables by where they lie in memory, so their last bits differ between runs.
    """
    with mpl.rc_context(fname=STYLE):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in (figure, *figure.findobj(SubFigure)):
        if isinstance(part, SubFigure):
            part.bbox_relative.set_points(part.bbox_relative.get_points().round(DECIMALS))
        for words in part.texts:
            x, y = words.get_position()
            words.set_position((round(x, DECIMALS), round(y, DECIMALS)))
    for axes in figure.axes:
        bounds = np.round(axes.get_position(original=True).bounds, DECIMALS)
        axes.set_position(bounds, which="original")


def stacked(parts: Sequence[Part]) -> Figure:
    """Stack parts one above another, as wide as the widest; without any, the figure says so."""
    parts = parts or [nothing("", "The study has nothing for this figure to show.")]
    width = max(part.width for part in parts)
    heights = [part.height for part in parts]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    rows = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights, hspace=0.02)
    for row, part in zip(rows.flat, parts, strict=True):
        if part.title:
            row.suptitle(part.title)
        part.draw(row)
    return figure


def nothing(title: str, why: str) -> Part:
    """Make a part that says why there is nothing to draw."""

    def draw(figure: SubFigure) -> None:
        figure.text(0.5, 0.5, text.wrapped(why, 100), ha="center", va="center")

    return Part(title, draw, 7.2, 0.8)


def groups(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split a table into (title, rows) per model and dataset; a study's only one needs no title."""
    units = list(frame.groupby(["model", "dataset"], sort=False, observed=True))
    return [(" · ".join(map(str, names)) if len(units) > 1 else "", rows) for names, rows in units]


def of_group(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a table that belong to the same model and dataset as `rows`."""
    first = rows.iloc[0]
    return table[(table["model"] == first["model"]) & (table["dataset"] == first["dataset"])]


def intervals(
    frame: pd.DataFrame, by: list[str], value: str, draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Compute means over prompts of `value` with bootstrap intervals, as the summaries do.

    `by` names the groups. Returns `by` and n (prompts), noises, missing, estimate, ci_low, ci_high;
    groups without a value are left out.
    """
    values = inference.per_sample(frame, by, value)
    table = gathering.with_intervals(values, draws, confidence, seed).reset_index()
    return table[table["n"] > 0]


def line(axes: Axes, x: pd.Series, rows: pd.DataFrame, **style: Any) -> None:
    """Draw estimates over x with their interval as a band."""
    axes.plot(x, rows["estimate"], **style)
    axes.fill_between(x, rows["ci_low"], rows["ci_high"], color=style["color"], alpha=0.2, lw=0)


def broken(rows: pd.DataFrame, gap: float) -> pd.DataFrame:
    """Order rows by log-SNR, with an empty one wherever two lie at least `gap` nats apart."""
    rows = rows.sort_values("log_snr")
    after = np.flatnonzero(rows["log_snr"].diff().to_numpy() >= gap)
    parts = np.split(np.arange(len(rows)), after)
    empty = pd.DataFrame([{"log_snr": np.nan}])
    pieces = [piece for part in parts for piece in (rows.iloc[part], empty)]
    return pd.concat(pieces[:-1], ignore_index=True) if len(parts) > 1 else rows


def spaced(positions: np.ndarray, share: float) -> np.ndarray:
    """Choose indices of increasing positions (n,), at least `share` of their range apart.

    Both ends are among them.
    """
    gap = share * (positions[-1] - positions[0])
    kept = [0]
    for index in range(1, len(positions) - 1):
        if min(positions[index] - positions[kept[-1]], positions[-1] - positions[index]) >= gap:
            kept.append(index)
    return np.array([*kept, len(positions) - 1]) if len(positions) > 1 else np.array(kept)


def step_axis(axes: Axes, times: pd.DataFrame, label: str = "step", share: float = 0.09) -> None:
    """Write step numbers along the top of an axis over log-SNR; `times` has step and log_snr."""
    if times.empty:
        return
    times = times[["step", "log_snr"]].drop_duplicates("step").sort_values("log_snr")
    kept = times.iloc[spaced(times["log_snr"].to_numpy(), share)]
    top = axes.secondary_xaxis("top")
    top.set_xticks(kept["log_snr"].to_list(), [str(step) for step in kept["step"]])
    top.set_xlabel(label)
    top.tick_params(length=2, pad=1)
    top.spines["top"].set_visible(False)


def log_snr_axis(axes: Axes) -> None:
    """Label an axis of log-SNR, with few and whole ticks."""
    axes.set_xlabel("log-SNR (nats)")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def step_colours(steps: Iterable[int]) -> dict[int, tuple]:
    """Give each step a colour, dark (noisy) to light (clean), without the palest end."""
    ordered = sorted(set(steps))
    return dict(
        zip(ordered, mpl.colormaps["viridis"](np.linspace(0.05, 0.8, len(ordered))), strict=True)
    )


def listed(names: Iterable[str]) -> list[str]:
    """List distinct names in their order of appearance."""
    return list(dict.fromkeys(names))
