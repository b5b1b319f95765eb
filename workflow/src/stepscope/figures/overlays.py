"""Pictures, and over them maps and outlines."""

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import SubFigure

from stepscope.figures import plotting


def overlay_colours() -> ListedColormap:
    """Make the colours of maps scaled to -1..1: blue over transparent to red."""
    values = np.linspace(-1, 1, 255)
    colours = mpl.colormaps["RdBu_r"](0.5 + 0.42 * values)
    colours[:, 3] = np.clip(1.4 * np.abs(values), 0, 0.85)
    return ListedColormap(colours, name="overlay")


OVERLAY, SIGNED = overlay_colours(), Normalize(-1, 1)
QUANTILE = 0.98  # of a map's magnitudes, which stands for the strongest colour


def picture(axes: Axes, image: np.ndarray) -> None:
    """Show an RGB picture (y, x, rgb) on the unit square without ticks."""
    axes.imshow(image, extent=(0, 1, 1, 0), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def greyed(image: np.ndarray) -> np.ndarray:
    """Make a picture (y, x, rgb) u1 grey, f8 in 0..1, so light that a map's colours carry."""
    # ITU-R BT.601, in integers: the last bits of a product of floats depend on how memory lies
    grey = image.astype(np.int64) @ [299, 587, 114] / 255_000
    return np.repeat((0.5 + 0.5 * grey)[..., None], 3, axis=-1)


def magnitude(saliency: np.ndarray) -> float:
    """Compute what a map (y, x) is divided by: a quantile of its magnitudes, which no pixel sets.

    The largest one where so few cells are not zero that the quantile is.
    """
    values = np.abs(saliency[np.isfinite(saliency)])
    robust = np.quantile(values, QUANTILE) if values.size else 0
    return robust or max(values.max(initial=0), np.finfo(np.float32).tiny)


def overlaid(
    axes: Axes,
    image: np.ndarray,
    saliency: np.ndarray,
    mask: np.ndarray,
    scale: float | None = None,
) -> None:
    """Show a picture in grey, over it a map (y, x) divided by `scale`, and an outline.

    Without a scale it is the map's own `magnitude`; beyond it the colour is that of 1.
    """
    picture(axes, greyed(image))
    scaled = saliency / (scale or magnitude(saliency))
    axes.imshow(scaled, extent=(0, 1, 1, 0), cmap=OVERLAY, norm=SIGNED, interpolation="bilinear")
    outlined(axes, mask)


def outlined(axes: Axes, mask: np.ndarray) -> None:
    """Draw a mask's (y, x) outline, white with a dark edge that shows on any picture."""
    if np.ptp(np.nan_to_num(mask)) > 0.5:  # an empty or full mask has no outline
        y, x = ((np.arange(size) + 0.5) / size for size in mask.shape)
        outline = axes.contour(x, y, mask, levels=[0.5], colors="white", linewidths=0.9)
        outline.set_path_effects([patheffects.withStroke(linewidth=1.9, foreground="0.1")])


def map_bar(method: str, width: float) -> plotting.Part:
    """Make the part that holds the one colour bar of a figure's maps, over the grey they lie on."""

    def draw(figure: SubFigure) -> None:
        axes = figure.subplots()
        name = plotting.METHODS.get(method, method)
        scale = f"the {100 * QUANTILE:.0f}th percentile of its magnitudes"
        label = f"{name} map divided by {scale} (white line: the objects' outline)"
        mappable = mpl.cm.ScalarMappable(SIGNED, OVERLAY)
        bar = figure.colorbar(
            mappable,
            cax=axes,
            orientation="horizontal",
            label=label,
            ticks=[-1, -0.5, 0, 0.5, 1],
            extend="both",
        )
        axes.set_facecolor("0.85")
        axes.set_box_aspect(0.025)
        bar.outline.set_linewidth(0.5)

    return plotting.Part("", draw, width, 0.55)
