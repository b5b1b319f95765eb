"""Figures of RQ1: which regions a step recovers."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import overlays, plotting, text
from stepscope.figures.samples import steps_with_map

RECOVERY = [*plotting.STEPS, "region", "band", "recovered"]  # columns read of rq1_recovery
BANDS = {"low": "low frequencies", "mid": "middle frequencies", "high": "high frequencies"}
REGIONS = {"object": "object", "border": "border (one latent cell)", "background": "background"}


@plotting.styled
def maps_over_time(samples: Sequence[xr.Dataset], method: str, columns: int = 6) -> Figure:
    """Draw guided predictions at increasing steps, the method's maps over them and the outline.

    A sample (see `samples.load_samples`) has two rows: predictions above, maps below, its final
    picture at the right; at most `columns` steps with a map are shown, evenly chosen.
    """
    if not samples:
        return plotting.stacked([])
    chosen = [_steps(sample, columns) for sample in samples]
    shown = max(map(len, chosen)) + 1
    abreast = 2 if shown <= 4 and len(samples) > 1 else 1
    width = abreast * (1.15 * shown + 0.15)

    def draw(row: slice, figure: SubFigure) -> None:
        blocks = figure.subfigures(1, abreast, squeeze=False, wspace=0.04)[0]
        for block, sample, steps in zip(blocks, samples[row], chosen[row], strict=False):
            title = f"{text.caption(sample, samples)} (seed {sample.attrs['seed']})"
            title = text.wrapped(title, 14 * shown)
            block.suptitle(title, x=0.02, ha="left", fontsize=8)
            _strip(block.subplots(2, shown), sample, steps)

    rows = [slice(start, start + abreast) for start in range(0, len(samples), abreast)]
    parts = [plotting.Part("", partial(draw, row), width, 2.75) for row in rows]
    return plotting.stacked([*parts, overlays.map_bar(method, width)])


def _steps(sample: xr.Dataset, columns: int) -> np.ndarray:
    """Choose at most `columns` of the steps with a map, evenly."""
    steps = steps_with_map(sample)
    chosen = np.linspace(0, len(steps) - 1, min(columns, len(steps)))
    return steps[chosen.round().astype(int)]


def _strip(grid: np.ndarray, sample: xr.Dataset, steps: np.ndarray) -> None:
    """Draw one sample into two rows of axes."""
    mask, final = sample["mask"].to_numpy(), sample["image"].to_numpy()
    for (above, below), step in zip(grid.T, steps, strict=False):
        at_step = sample.sel(step=step)
        image = at_step["preview"].sel(prediction="guided").to_numpy()
        overlays.picture(above, image)
        above.set_title(f"step {step}\nlog-SNR {float(at_step['log_snr']):+.1f}")
        overlays.overlaid(below, image, at_step["map"].to_numpy(), mask)
    for axes in grid[:, len(steps) : -1].flat:
        axes.set_visible(False)
    for axes in grid[:, -1]:
        overlays.picture(axes, final)
    overlays.outlined(grid[1, -1], mask)
    grid[0, -1].set_title("final picture")
    grid[0, 0].set_ylabel("guided\nprediction")
    grid[1, 0].set_ylabel("map over it")


@plotting.styled
def recovery(table: pd.DataFrame, draws: int, confidence: float, seed: int) -> Figure:
    """Draw the recovered share per step over log-SNR, from rq1_recovery.

    Regions are colours, frequency bands columns, samplings rows; bands are bootstrap intervals.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)

    def draw(rows: pd.DataFrame, figure: SubFigure) -> None:
        samplings = plotting.listed(rows["sampling"])
        grid = figure.subplots(len(samplings), len(BANDS), sharex=True, sharey=True, squeeze=False)
        counts = [
            _recovered(line, rows[rows["sampling"] == sampling], sampling, bootstrap)
            for line, sampling in zip(grid, samplings, strict=True)
        ]
        for axes, band in zip(grid[0], BANDS, strict=True):
            axes.set_title(BANDS[band], fontweight="bold")
        for axes in grid[-1]:
            plotting.log_snr_axis(axes)
        count = text.counted(pd.concat(counts))
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(REGIONS),
            title=f"region (mean over prompts, {confidence:.0%} CI, {count})",
        )

    return plotting.stacked(
        [
            plotting.Part(title, partial(draw, rows), 7.2, 1.75 * rows["sampling"].nunique() + 0.9)
            for title, rows in plotting.groups(plotting.compact(table))
        ]
    )


def _recovered(
    line: np.ndarray, rows: pd.DataFrame, sampling: str, bootstrap: plotting.Bootstrap
) -> pd.DataFrame:
    """Draw one sampling's row of panels, a band each; return the means with what is behind them."""
    by = ["region", "band", "step", "log_snr"]
    table = plotting.intervals(rows.dropna(subset=["recovered"]), by, "recovered", **bootstrap)
    for axes, band in zip(line, BANDS, strict=True):
        axes.axhline(0, color="0.8", lw=0.6)
        for (region, label), colour in zip(REGIONS.items(), plotting.PALETTE, strict=False):
            steps = table[(table["band"] == band) & (table["region"] == region)].sort_values("step")
            plotting.line(axes, steps["log_snr"], steps, color=colour, marker="o", label=label)
        plotting.step_axis(axes, rows, share=0.11)
    line[0].set_ylabel(f"{sampling}\nshare of the first\nerror recovered")
    return table
