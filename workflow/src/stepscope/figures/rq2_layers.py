"""Figure of RQ2: what a method's maps show in each group of layers, over the steps."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import overlays, plotting, text
from stepscope.figures.samples import steps_with_map

BLOCKS = ("down", "mid", "up")  # of a U-Net; other networks are thirds of their layers
THIRDS = ("first third", "middle third", "last third")
ALL = "all layers"


@plotting.styled
def by_layer_group(samples: Sequence[xr.Dataset], method: str, columns: int = 7) -> Figure:
    """Draw a sample's maps summed over each group of layers, a row a group and a column a step.

    A sample (see `samples.load_samples`) has a map per layer. Over the guided prediction, with the
    objects' outline; at most `columns` steps with a map, evenly chosen.
    """
    parts = []
    width = 1.03 * (columns + 0.9)
    for sample in samples:
        title = f"{text.caption(sample, samples)} (seed {sample.attrs['seed']})"
        if "layer" not in sample.dims:
            parts.append(plotting.nothing(title, f"{method} has no maps by layer."))
            continue
        groups = grouped([str(name) for name in sample["layer"].to_numpy()])
        height = 1.05 * (len(groups) + 1) + 0.3
        draw = partial(_rows, sample, groups, columns)
        parts.append(plotting.Part(text.wrapped(title, 100), draw, width, height))
    bars = [overlays.map_bar(method, width)] if any("layer" in s.dims for s in samples) else []
    return plotting.stacked(parts + bars)


def grouped(layers: Sequence[str]) -> dict[str, list[int]]:
    """Places of the layers of each group, and last of all, by the group's name."""
    blocks = [layer.partition("_block")[0] for layer in layers]
    if set(blocks) <= set(BLOCKS):
        found = {name: [i for i, block in enumerate(blocks) if block == name] for name in BLOCKS}
    else:
        thirds = np.array_split(np.arange(len(layers)), len(THIRDS))
        found = {name: list(of) for name, of in zip(THIRDS, thirds, strict=True)}
    return {name: of for name, of in found.items() if of} | {ALL: [*range(len(layers))]}


def _rows(
    sample: xr.Dataset, groups: dict[str, list[int]], columns: int, figure: SubFigure
) -> None:
    """Draw one sample: a row a group, its steps from the left, and the final picture."""
    every = steps_with_map(sample)
    steps = every[np.linspace(0, len(every) - 1, min(columns, len(every))).round().astype(int)]
    grid = figure.subplots(len(groups), columns + 1, squeeze=False)
    mask, final = sample["mask"].to_numpy(), sample["image"].to_numpy()
    for row, (name, layers) in zip(grid, groups.items(), strict=True):
        row[0].set_ylabel(name)
        for axes, step in zip(row[:-1], steps, strict=False):
            at_step = sample.sel(step=step)
            image = at_step["preview"].sel(prediction="guided").to_numpy()
            of_group = at_step["map"].isel(layer=layers)
            summed = of_group.sum("layer").to_numpy()
            overlays.overlaid(axes, image, summed, mask)
            if not summed.any():
                axes.text(0.5, 0.5, "no map", ha="center", va="center", fontsize=6)
        for axes in row[len(steps) : -1]:
            axes.set_visible(False)
        row[-1].set_visible(name == ALL)
    for axes, step in zip(grid[0], steps, strict=False):
        snr = float(sample.sel(step=step)["log_snr"])
        axes.set_title(f"step {step}\nlog-SNR {snr:+.1f}")
    overlays.picture(grid[-1, -1], final)
    grid[-1, -1].set_xlabel("final picture")
