"""Figures of RQ1: which regions a step recovers."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import overlays, plotting, text
from stepscope.figures.samples import steps_with_map

BANDS = {"low": "low frequencies", "mid": "middle frequencies", "high": "high frequencies"}
NULL = "gaussian"  # the prediction that knows no objects
ROWS = ("guided\nprediction", "map over it", "its standard\nerror")  # of maps over time
LINEAR = 1e-3  # a nat; smaller shares are drawn on a linear scale, larger ones on a logarithmic
REGIONS = {"object": "object", "border": "border (one latent cell)", "background": "background"}


@plotting.styled
def maps_over_time(samples: Sequence[xr.Dataset], method: str, columns: int = 6) -> Figure:
    """Draw guided predictions at increasing steps, the method's maps over them and the outline.

    A sample (see `samples.load_samples`) has two rows, predictions above maps, and below them one
    of the maps' standard errors where it has any, in the same colours and on each map's scale; its
    final picture is at the right. At most `columns` steps with a map are shown, evenly chosen.
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
            _strip(block.subplots(lines, shown), sample, steps)

    lines = 3 if any("error" in sample for sample in samples) else 2
    rows = [slice(start, start + abreast) for start in range(0, len(samples), abreast)]
    height = 0.6 + 1.075 * lines
    parts = [plotting.Part("", partial(draw, row), width, height) for row in rows]
    return plotting.stacked([*parts, overlays.map_bar(method, width)])


def _steps(sample: xr.Dataset, columns: int) -> np.ndarray:
    """Choose at most `columns` of the steps with a map, evenly."""
    steps = steps_with_map(sample)
    chosen = np.linspace(0, len(steps) - 1, min(columns, len(steps)))
    return steps[chosen.round().astype(int)]


def _strip(grid: np.ndarray, sample: xr.Dataset, steps: np.ndarray) -> None:
    """Draw one sample into two or three rows of axes."""
    mask, final = sample["mask"].to_numpy(), sample["image"].to_numpy()
    for (above, below, *lowest), step in zip(grid.T, steps, strict=False):
        at_step = sample.sel(step=step)
        image = at_step["preview"].sel(prediction="guided").to_numpy()
        saliency = at_step["map"].to_numpy()
        overlays.picture(above, image)
        above.set_title(f"step {step}\nlog-SNR {float(at_step['log_snr']):+.1f}")
        overlays.overlaid(below, image, saliency, mask)
        for axes in lowest if "error" in sample else ():
            scale = overlays.magnitude(saliency)
            overlays.overlaid(axes, image, at_step["error"].to_numpy(), mask, scale)
    for axes in grid[:, len(steps) : -1].flat:
        axes.set_visible(False)
    for axes in grid[2:, -1]:
        axes.set_visible(False)
    for axes in grid[:2, -1]:
        overlays.picture(axes, final)
    overlays.outlined(grid[1, -1], mask)
    grid[0, -1].set_title("final picture")
    for axes, label in zip(grid[:, 0], ROWS, strict=False):
        axes.set_ylabel(label)


@plotting.styled
def recovery(summary: pd.DataFrame, samplings: Sequence[str], confidence: float) -> Figure:
    """Draw what a step recovers of the picture per nat of log-SNR, from rq1_recovery_summary.

    Regions are colours, frequency bands columns; a row is the guided prediction of each of the
    `samplings`, of the first also x0(e_u) and x0(e_c). Bands are bootstrap intervals, dashed the
    Gaussian null. The scale is logarithmic on both sides of zero, so that late steps are seen.
    """
    table = summary[summary["compared"].str.startswith("mean")]

    def draw(rows: pd.DataFrame, figure: SubFigure) -> None:
        shown = _shown(rows, samplings)
        grid = figure.subplots(len(shown), len(BANDS), sharex=True, sharey=True, squeeze=False)
        counts = []
        for line, (sampling, prediction) in zip(grid, shown, strict=True):
            of_sampling = rows[rows["sampling"] == sampling]
            means = _recovered(line, of_sampling, prediction)
            line[0].set_ylabel(f"{sampling}\n{plotting.PREDICTIONS[prediction]}")
            counts.append(means)
        for axes, band in zip(grid[0], BANDS, strict=True):
            axes.set_title(BANDS[band], fontweight="bold")
        for axes in grid.flat:  # the rows are too many for one axis at their end
            plotting.log_snr_axis(axes)
            axes.tick_params(labelbottom=True)
        figure.supylabel("share of the picture recovered per nat of log-SNR", fontsize=8)
        count = text.counted(pd.concat(counts))
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(REGIONS),
            title=f"region (mean over prompts, {confidence:.0%} CI, {count})\n"
            "dashed: Gaussian null, without objects",
        )

    return plotting.stacked(
        [
            plotting.Part(title, partial(draw, rows), 7.2, 2.1 * len(_shown(rows, samplings)) + 0.7)
            for title, rows in plotting.groups(table)
        ]
    )


def _shown(rows: pd.DataFrame, samplings: Sequence[str]) -> list[tuple[str, str]]:
    """The (sampling, prediction) of each row of panels."""
    first, *others = [name for name in samplings if name in set(rows["sampling"])]
    return [(first, name) for name in plotting.PREDICTIONS] + [(name, "guided") for name in others]


def _recovered(line: np.ndarray, rows: pd.DataFrame, prediction: str) -> pd.DataFrame:
    """Draw one sampling's row of panels, a band each; return the means with what is behind them."""
    table = rows[rows["prediction"].isin([prediction, NULL]) & (rows["n"] > 0)]
    own = table[table["prediction"] == prediction]
    for axes, band in zip(line, BANDS, strict=True):
        axes.set_yscale("symlog", linthresh=LINEAR)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:g}")
        axes.axhline(0, color="0.8", lw=0.6)
        for (region, label), colour in zip(REGIONS.items(), plotting.PALETTE, strict=False):
            steps, null = (
                of[(of["band"] == band) & (of["region"] == region)].sort_values("step")
                for of in (own, table[table["prediction"] == NULL])
            )
            plotting.line(axes, steps["log_snr"], steps, color=colour, marker="o", label=label)
            axes.plot(null["log_snr"], null["estimate"], color=colour, lw=0.8, ls=(0, (3, 2)))
        plotting.step_axis(axes, table, share=0.11)
    return own
