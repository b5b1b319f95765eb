"""Figure of linear probes (RQ3): which layers hold a concept at which step, and when it is seen."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from stepscope.figures import plotting, text
from stepscope.statistics.probe_onsets import ALL, COND, LATENT, SEEN, UNCOND

ACROSS = 4  # panels side by side
NAMES = {UNCOND: "unconditional half (empty prompt)", COND: "conditional half (the prompt)"}


@plotting.styled
def draw(table: pd.DataFrame, summary: pd.DataFrame, reader: str | None = None) -> Figure:
    """Draw rq3_probes and its summary: a panel a family and half, layers over steps.

    Of all prompts, by the labels of `reader` where it reads a family, otherwise of the CLIP.
    Colours are balanced accuracy, dots are above the control's, and lines are onsets: of a layer,
    and across a panel what the reader sees in clean predictions.
    """
    parts = []
    table, summary = (_of_reader(of, reader) for of in (table, summary))
    several = table[plotting.UNITS].drop_duplicates().shape[0] > 1
    for unit, rows in table.groupby(plotting.UNITS, sort=False):
        onsets = summary[(summary[plotting.UNITS] == list(unit)).all(axis=1)]
        onsets = onsets[onsets["quantity"] == "log_snr"]
        for half in (UNCOND, COND):
            if half not in set(rows["half"]):
                continue
            own = rows[rows["half"].isin((half, ""))]
            title = " · ".join([*map(str, unit if several else ()), NAMES[half]])
            parts.append(_part(title, own, onsets[onsets["half"].isin((half, ""))]))
    return plotting.stacked(parts)


def _of_reader(frame: pd.DataFrame, reader: str | None) -> pd.DataFrame:
    """Rows of all prompts, of each family those of one reader."""
    frame = frame[frame["prompts"] == ALL]
    by_family = frame.groupby([*plotting.UNITS, "family"])["reader"]
    has_own = frame["reader"].eq(reader or "").groupby(by_family.ngroup()).transform("any")
    return frame[frame["reader"] == by_family.transform("first").mask(has_own, reader)]


def _part(title: str, rows: pd.DataFrame, onsets: pd.DataFrame) -> plotting.Part:
    """Lay out the panels of one half."""
    families = plotting.listed(rows["family"])
    layers = plotting.listed(rows["layer"])
    layers = [LATENT, *(name for name in layers if name not in (LATENT, SEEN)), SEEN]
    columns = min(ACROSS, len(families))
    height = -(-len(families) // columns)

    def paint(figure: SubFigure) -> None:
        grid = figure.subplots(height, columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(families) :]:
            axes.set_visible(False)
        for number, (axes, family) in enumerate(zip(grid.flat, families, strict=False)):
            own = rows[rows["family"] == family]
            image = _panel(axes, own, onsets[onsets["family"] == family], layers)
            about = own.iloc[0]
            title = f"{family} ({about['reader']}), {about['classes']:.0f} concepts"
            axes.set_title(f"{title}\n{text.counted(own)}", size=7)
            if number + columns < len(families):
                axes.set_xticklabels([])
            else:
                axes.set_xlabel("log-SNR (nats)")
        figure.colorbar(image, ax=grid, label="balanced accuracy", shrink=0.8)

    size = 0.7 + 0.12 * len(layers)
    return plotting.Part(title, paint, 2.2 + 1.7 * columns, height * size + 0.4)


def _panel(axes: Axes, rows: pd.DataFrame, onsets: pd.DataFrame, layers: list[str]) -> AxesImage:
    """Draw one family: layers over steps, dots above the control, and onsets."""
    steps = rows[["step", "log_snr"]].drop_duplicates().sort_values("step")
    wide = rows.pivot(index="layer", columns="step", values=["balanced_accuracy", "control_high"])
    wide = wide.reindex(layers)
    values, control = (wide[name].to_numpy(float) for name in ("balanced_accuracy", "control_high"))
    image = axes.imshow(values, vmin=0, vmax=1, aspect="auto", cmap="viridis")
    places = np.argwhere(values > control)
    axes.scatter(places[:, 1], places[:, 0], s=2, color="white", lw=0)
    log_snr = steps["log_snr"].to_numpy()
    when = onsets.set_index("layer")["estimate"].dropna()
    for number, layer in enumerate(layers):
        if layer in when:
            place = np.interp(when[layer], log_snr, np.arange(len(log_snr))) - 0.5
            ends = (-0.5, len(layers) - 0.5) if layer == SEEN else (number - 0.5, number + 0.5)
            colour = plotting.VERMILION if layer == SEEN else "white"
            axes.plot([place, place], ends, color=colour, lw=1.5)
    axes.axhline(len(layers) - 1.5, color="white", lw=1)
    axes.set_xticks(range(len(log_snr)), [str(round(value)) for value in log_snr], size=5)
    short = [name.replace("_blocks", "").replace("_block", "") for name in layers]
    axes.set_yticks(range(len(layers)), short, size=4.5)
    axes.tick_params(length=0)
    return image
