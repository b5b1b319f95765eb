"""Figures of RQ2: which words a step works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import overlays, plotting, text
from stepscope.figures.samples import steps_with_map
from stepscope.language import ROLES, slots
from stepscope.store import tables
from stepscope.store.word_curves import reigns

RELEVANCE = [*plotting.STEPS, "word", "word_index", "role", "method", "relevance"]
# A role has its colour in every prompt and study, and a word its line by what an attribute is of
# and by how many words of its role come before it.
COLOURS = dict(zip(ROLES, plotting.PALETTE, strict=False))
OF = {"attribute of object": 1, "attribute of background": 2}  # attribute of subject is 0
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)), (0, (2, 2)), (0, (1, 3))]
WIDTH, MAPS = 7.4, 1.55  # inches: of a part, and the height of its maps
BANDS = {1: "n = 1 seed, no band", 2: "mean; band: the n = 2 seeds"}


@dataclass(frozen=True)
class Word:
    """How a word of a prompt is written and drawn; `dash` is a line style of matplotlib."""

    text: str
    role: str
    colour: tuple[float, float, float]
    dash: Any

    @property
    def label(self) -> str:
        """The word with its role, if it has one."""
        return f"{self.text} [{self.role}]" if self.role else self.text


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
    seeds, bands the range between seeds. A switch is drawn where the curves cross, over the steps
    at which neither word leads (see `word_curves.reigns`). A sample (see `samples.load_samples`)
    has a map per word.
    Where its table lacks `method`, the first one that it has is drawn.
    """
    parts = []
    for sample in samples:
        title = text.caption(sample, samples)
        keys = [relevance[key] == sample.attrs[key] for key in (*plotting.UNITS, "prompt_id")]
        rows = relevance[np.logical_and.reduce(keys)]
        if rows.empty:
            why = f"No method says what its words matter, sampling {sample.attrs['sampling']}."
            parts.append(plotting.nothing(title, why))
            continue
        drawn = method if (rows["method"] == method).any() else rows["method"].iloc[0]
        rows = rows[rows["method"] == drawn]
        rows = rows.assign(share=tables.share(rows))
        parts.append(_part(title, sample, rows, drawn, map_method, columns))
    maps = [overlays.map_bar(map_method, WIDTH)] if parts and len(relevance) else []
    return plotting.stacked(parts + maps)


def _part(
    title: str,
    sample: xr.Dataset,
    rows: pd.DataFrame,
    method: str,
    map_method: str,
    columns: int,
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
    by_word = seeds.T.groupby(level="word_index")
    low, mean, high = by_word.min().T, by_word.mean().T, by_word.max().T
    known = mean.dropna(how="all").index  # a step without relevance has no top word
    least, course, most = (of.loc[known].to_numpy().T for of in (low, mean, high))
    found = reigns(least, course, most, times[known].to_numpy())
    words: list[int] = mean.columns.to_numpy().tolist()
    curves = max(1.9, 0.14 * (len(names) + 3))  # inches, so that the legend has room
    begin = {float(times[step]): step for step in known}
    mapped = pd.DataFrame(
        [(begin[reign.high], words[reign.word]) for reign in found],
        columns=["step", "word_index"],
    )
    mapped = mapped[mapped["step"].isin(steps_with_map(sample))].head(columns)

    def draw(figure: SubFigure) -> None:
        above, below = figure.subfigures(
            2, 1, squeeze=False, height_ratios=[curves, MAPS], hspace=0.01
        ).flat
        axes = above.subplots()
        lines: list[Artist] = []
        for index, word in names.items():
            course, least, most = (of[index].reindex(times.index) for of in (mean, low, high))
            lines += axes.plot(times, course, color=word.colour, ls=word.dash)
            axes.fill_between(times, least, most, color=word.colour, alpha=0.15, lw=0)
        for reign in found[1:]:  # the first word on top is no switch
            colour = names[words[reign.word]].colour
            axes.axvspan(reign.low, reign.high, color=colour, alpha=0.12, lw=0, zorder=0)
            axes.axvline(reign.log_snr, color=colour, lw=0.9, ls=(0, (2, 2)), zorder=1)
        plotting.step_axis(axes, rows, share=0.04)
        plotting.log_snr_axis(axes)
        of = plotting.METHODS.get(method, method)
        axes.set(ylabel=f"share of the step's\n{of} (curves)", ylim=(0, None))
        axes.set_xlim(times.min() - 0.1, times.max() + 0.1)
        n = rows["seed"].nunique()
        title = f"{of}\n{BANDS.get(n, f'mean and range, n = {n} seeds')}"
        labels = [word.label for word in names.values()]  # one that begins with _ is one too
        above.legend(lines, labels, loc="outside right center", title=title)
        maps_of = plotting.METHODS.get(map_method, map_method)
        below.supylabel(f"{maps_of} map\nof the word on top", fontsize="small")
        _maps(below, sample, mapped, names, columns)

    return plotting.Part(title, draw, WIDTH, curves + MAPS)


def _names(rows: pd.DataFrame) -> dict[int, Word]:
    """Give each word a text, and the colour and line of its slot; repeats are numbered."""
    table = rows.drop_duplicates("word_index").sort_values("word_index")
    texts = pd.Series(
        [
            word if text.legible(word) else f"word {index + 1}"
            for word, index in zip(table["word"].astype(str), table["word_index"], strict=True)
        ]
    )
    roles = [role if isinstance(role, str) else "" for role in table["role"]]
    names = {}
    for index, word, role, line, repeat, again in zip(
        table["word_index"],
        texts,
        roles,
        _lines(roles),
        texts.groupby(texts).cumcount(),
        texts.duplicated(False),
        strict=True,
    ):
        shown = f"{word} ({repeat + 1})" if again else word
        colour = COLOURS.get(role, mpl.colors.to_rgb(plotting.GREY))
        names[index] = Word(shown, role, colour, DASHES[line % len(DASHES)])
    return names


def _lines(roles: Sequence[str]) -> list[int]:
    """Which of `DASHES` each word is drawn with: those of a slot one after another."""
    lines, greys = [], iter(range(len(roles)))
    for slot in slots(roles):
        name, _, number = slot.rpartition(" ")
        name, before = (name, int(number) - 1) if number.isdecimal() else (slot, 0)
        lines.append(OF.get(name, 0) + before if slot else next(greys))
    return lines


def _maps(
    figure: SubFigure,
    sample: xr.Dataset,
    mapped: pd.DataFrame,
    names: Mapping[int, Word],
    columns: int,
) -> None:
    """Draw the top word's map where its reign begins, and the final picture after them."""
    *grid, final = figure.subplots(1, columns + 1)[: len(mapped) + 1]
    for axes in figure.axes[len(mapped) + 1 :]:
        axes.set_visible(False)
    for axes, step, index in zip(grid, mapped["step"], mapped["word_index"], strict=True):
        at_step = sample.sel(step=step)
        image = at_step["preview"].sel(prediction="guided").to_numpy()
        saliency = at_step["map"].isel(word=index, missing_dims="ignore")
        overlays.overlaid(axes, image, saliency.to_numpy(), sample["mask"].to_numpy())
        axes.set_title(f"step {step}")
        axes.set_xlabel(names[index].text, color=names[index].colour, fontweight="bold")
    overlays.picture(final, sample["image"].to_numpy())
    final.set_title("final picture")
    final.set_xlabel(f"seed {sample.attrs['seed']}")
