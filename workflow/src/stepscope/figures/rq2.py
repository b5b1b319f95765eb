"""Figures of RQ2: which words a step works on."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting
from stepscope.store import tables

RELEVANCE = [*plotting.STEPS, "word", "word_index", "role", "method", "relevance"]
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)), (0, (2, 2)), (0, (1, 3))]


@plotting.styled
def words(
    samples: Sequence[xr.Dataset],
    relevance: pd.DataFrame,
    method: str,
    map_method: str,
    columns: int = 6,
) -> Figure:
    """Draw each word's share of a step's relevance, the switches of the top word, and maps there.

    `relevance` is rq2_relevance, each step divided by its total over words; lines are means over
    seeds, bands the range between seeds. A sample (see `pictures.load`) has a map per word.
    """
    parts = []
    for sample in samples:
        keys = [relevance[key] == sample.attrs[key] for key in (*plotting.UNITS, "prompt_id")]
        rows = relevance[np.logical_and.reduce([*keys, relevance["method"] == method])]
        parts.append(
            _part(
                plotting.caption(sample, samples),
                sample,
                rows.assign(share=tables.share(rows)),
                method,
                columns,
            )
        )
    return plotting.stacked([*parts, plotting.map_bar(map_method, 7.4)])


def reigns(mean: pd.DataFrame) -> pd.DataFrame:
    """List the reigns of the top word: step (where it begins), word_index, length in steps.

    `mean` is (step, word_index) shares; a reign begins at the first step or where the top changes.
    """
    top = mean.idxmax(axis=1)
    starts = top.ne(top.shift())
    table = top.groupby(starts.cumsum()).agg(word_index="first", length="size")
    return table.assign(step=top.index[starts])


def _part(
    title: str, sample: xr.Dataset, rows: pd.DataFrame, method: str, columns: int
) -> plotting.Part:
    """Lay out one prompt: curves above, its maps in a strip below."""
    names = _names(rows)
    times = (
        rows[["step", "log_snr"]]
        .drop_duplicates("step")
        .sort_values("step")
        .set_index("step")["log_snr"]
    )
    seeds = rows.set_index(["step", "word_index", "seed"])["share"].unstack(["word_index", "seed"])
    mean = seeds.T.groupby(level="word_index").mean().T
    switches = reigns(mean.dropna(how="all"))  # a step without relevance has no top word
    known = np.isfinite(sample["map"]).any([*set(sample["map"].dims) - {"step"}])
    mapped = switches[known.sel(step=switches["step"].to_numpy()).to_numpy()]
    mapped = mapped.nlargest(columns, "length", keep="first").sort_values("step")
    colours = {word: colour for word, (_, colour, _) in names.items()}

    def draw(figure: SubFigure) -> None:
        above, below = figure.subfigures(2, 1, height_ratios=[1.75, 1.45], hspace=0.01)
        axes = above.subplots()
        for word, (label, colour, dash) in names.items():
            values = seeds[word].reindex(times.index)
            axes.plot(times, mean[word].reindex(times.index), color=colour, ls=dash, label=label)
            axes.fill_between(
                times, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.15, lw=0
            )
        for step, word in zip(switches["step"], switches["word_index"], strict=True):
            axes.axvline(times[step], color=colours[word], lw=0.7, ls=(0, (2, 2)), zorder=0)
            axes.plot(
                times[step],
                mean.loc[step, word],
                "o",
                color=colours[word],
                ms=5,
                mec="white",
                mew=0.8,
            )
        plotting.step_axis(axes, rows, share=0.04)
        plotting.log_snr_axis(axes)
        axes.set(ylabel="share of the step's\nrelevance", ylim=(0, None))
        axes.set_xlim(times.min() - 0.1, times.max() + 0.1)
        n = rows["seed"].nunique()
        title = (
            f"{plotting.METHODS.get(method, method)}\nmean and range, n = {n} seed{'s' * (n > 1)}"
        )
        above.legend(*axes.get_legend_handles_labels(), loc="outside right center", title=title)
        _maps(below, sample, mapped, names, columns)

    return title, draw, (7.4, 3.45)


def _names(rows: pd.DataFrame) -> dict[int, tuple[str, tuple, object]]:
    """Give each word a label, colour and dash: roles in colour, others grey, repeats numbered."""
    table = rows.drop_duplicates("word_index").sort_values("word_index")
    texts = table["word"].astype(str)
    colours, greys = iter(plotting.PALETTE * 3), iter(DASHES * 9)
    names = {}
    for index, word, role, repeat, again in zip(
        table["word_index"],
        texts,
        table["role"],
        texts.groupby(texts).cumcount(),
        texts.duplicated(False),
        strict=True,
    ):
        label = f"{word} ({repeat + 1})" if again else word
        if isinstance(role, str) and role:
            names[index] = (f"{label} [{role}]", next(colours), "-")
        else:
            names[index] = (label, mpl.colors.to_rgb(plotting.GREY), next(greys))
    return names


def _maps(
    figure: SubFigure, sample: xr.Dataset, mapped: pd.DataFrame, names: dict, columns: int
) -> None:
    """Draw the top word's map where its reign begins, and the final picture after them."""
    *grid, final = figure.subplots(1, columns + 1)[: len(mapped) + 1]
    for axes in figure.axes[len(mapped) + 1 :]:
        axes.set_visible(False)
    for axes, step, word in zip(grid, mapped["step"], mapped["word_index"], strict=True):
        at = sample.sel(step=step)
        image = at["preview"].sel(prediction="guided").to_numpy()
        saliency = at["map"].isel(word=word, missing_dims="ignore")
        plotting.overlaid(axes, image, saliency.to_numpy(), sample["mask"].to_numpy())
        label, colour, _ = names[word]
        axes.set_title(f"step {step}")
        axes.set_xlabel(label.split(" [")[0], color=colour, fontweight="bold")
    plotting.picture(final, sample["image"].to_numpy())
    final.set_title("final picture")
    final.set_xlabel(f"seed {sample.attrs['seed']}")
