"""Figure of the deletion and insertion games (RQ1): whether a map names the pixels that matter."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import game_sensitivity, plotting, text
from stepscope.statistics.primary_games import primary

KEYS = [*plotting.STEPS, "method", "similarity", "game", "substrate", "score"]
CURVES = [*KEYS, "move", "normalised"]  # columns read of rq1_curves
AREAS = [*KEYS, "auc_normalised"]  # columns read of rq1_auc
SCORES = {
    "clip_distance": "squared CLIP feature distance",
    "clip_cosine": "CLIP feature cosine",
    "latent_error": "squared error of the latent",
    "ssim": "SSIM of the decoded picture",
}
GAMES = ("deletion", "insertion")
BETTER = {"deletion": "← lower is better", "insertion": "higher is better →"}
RAW = 60  # raw curves drawn of a method and step: the first samples'
MOVES = 64  # points kept of a curve: more are not seen and make a PDF of megabytes


@plotting.styled
def auc(
    curves: pd.DataFrame, areas: pd.DataFrame, draws: int, confidence: float, seed: int
) -> Figure:
    """Draw AUC per method and step with intervals over prompts, and the curves behind it.

    `curves` and `areas` are rq1_curves and rq1_auc; of several substrates and scores those are
    drawn that claims are judged by (`primary_games`), normalised between the untouched state and
    the one wholly changed.
    Colours are steps; above, a row per method; below, a panel per method and game, and where a
    study has several substrates or scores, by how much each method beats the random map with each.
    """
    bootstrap = plotting.Bootstrap(draws=draws, confidence=confidence, seed=seed)
    if areas.empty:
        return plotting.stacked([])
    every = _labelled(areas)
    areas = primary(every)
    curves = _labelled(curves[of_primary(every)(curves)])
    score = areas["score"].iloc[0]
    parts: list[plotting.Part] = []
    for title, rows in plotting.groups(areas):
        parts.append(_part(title, plotting.of_group(curves, rows), rows, score, bootstrap))
        parts += game_sensitivity.part(plotting.of_group(every, rows), bootstrap)
    return plotting.stacked(parts)


def of_primary(areas: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
    """Says of curves which are of the games whose areas are drawn, (row,) bool."""
    drawn = primary(areas)[["game", "substrate", "score"]].drop_duplicates().to_dict("records")

    def are(curves: pd.DataFrame) -> np.ndarray:
        found = np.zeros(len(curves), bool)
        for one in drawn:
            found |= np.logical_and.reduce([curves[name] == value for name, value in one.items()])
        return found

    return are


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Name what is compared: the method, with similarity or sampling where there are several."""
    of = ["method"]
    of += [name for name in ("similarity", "sampling") if len({*table[name].unique()} - {""}) > 1]
    pairs = table[of].drop_duplicates().astype(str)
    labels = [
        " · ".join([plotting.METHODS.get(method, method), *filter(None, others)])
        for method, *others in pairs.itertuples(index=False)
    ]
    codes, names = pd.factorize(np.array(labels, object))
    label = codes[table.groupby(of, sort=False).ngroup()]
    is_large = isinstance(table["method"].dtype, pd.CategoricalDtype)
    found = pd.Series(pd.Categorical.from_codes(label, pd.Index(names)), table.index)
    return table.assign(
        label=found if is_large else found.astype(str), step=table["step"].astype(int)
    )


def _part(
    title: str,
    curves: pd.DataFrame,
    areas: pd.DataFrame,
    score: str,
    bootstrap: plotting.Bootstrap,
) -> plotting.Part:
    """Lay out one model and dataset: areas above, a grid of curves below."""
    labels = plotting.listed(areas["label"])
    lines = int(np.ceil(len(labels) / 6))
    columns = int(np.ceil(len(labels) / lines))
    heights = [0.7 + 0.26 * len(labels), 2.7 * lines + 0.4]

    def draw(figure: SubFigure) -> None:
        rows = figure.subfigures(2, 1, squeeze=False, height_ratios=heights, hspace=0.03)
        above, below = rows.flat
        _areas(above, areas, labels, score, bootstrap)
        _curves(below, curves, labels, columns, bootstrap)
        below.supylabel(
            f"{SCORES.get(score, score)} to the unperturbed result,\n"
            "from wholly changed, 0, to untouched, 1",
            fontsize=8,
        )

    return plotting.Part(title, draw, max(7.2, 1.3 * columns + 0.9), sum(heights))


def _areas(
    figure: SubFigure,
    areas: pd.DataFrame,
    labels: list[str],
    score: str,
    bootstrap: plotting.Bootstrap,
) -> None:
    """Draw means with intervals per method and step, prompts as faint dots."""
    value = "auc_normalised"
    colours = plotting.step_colours(areas["step"])
    by = ["game", "label", "step"]
    table = plotting.intervals(areas, by, value, **bootstrap)
    prompts = areas.groupby([*by, "prompt_id"], observed=True)[value].mean().reset_index()
    offsets = np.linspace(-0.28, 0.28, len(colours)) if len(colours) > 1 else [0]
    panels = figure.subplots(1, len(GAMES), sharey=True)
    for axes, game in zip(panels, GAMES, strict=True):
        for (step, colour), offset in zip(colours.items(), offsets, strict=True):
            rows, dots = (
                frame[(frame["game"] == game) & (frame["step"] == step)]
                for frame in (table, prompts)
            )
            y = rows["label"].map(labels.index) + offset
            axes.plot(
                dots[value],
                dots["label"].map(labels.index) + offset,
                "o",
                rasterized=len(dots) > 2000,
                color=colour,
                alpha=0.18,
                ms=2,
                mew=0,
            )
            axes.hlines(y, rows["ci_low"], rows["ci_high"], color=colour, lw=1.4)
            axes.plot(rows["estimate"], y, "o", color=colour, ms=3.5, label=f"step {step}")
        substrate = areas.loc[areas["game"] == game, "substrate"].iloc[0]
        axes.set_title(f"{game} (substrate: {substrate})")
        axes.set_xlabel(f"normalised AUC of the\n{SCORES.get(score, score)}\n{BETTER[game]}")
        axes.set_yticks(range(len(labels)), labels)
        for y in np.arange(1, len(labels)) - 0.5:
            axes.axhline(y, color="0.92", lw=0.5, zorder=0)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside right upper",
        title=f"{text.counted(table)}\nmean, {bootstrap['confidence']:.0%} CI",
    )


def _curves(
    figure: SubFigure,
    curves: pd.DataFrame,
    labels: list[str],
    columns: int,
    bootstrap: plotting.Bootstrap,
) -> None:
    """Draw the mean curves with bands, a pair of rows (deletion, insertion) per line of methods."""
    last = curves["move"].max()
    kept = np.unique(np.linspace(0, last, MOVES + 1).round())
    curves = curves[curves["move"].isin(kept)].assign(share=lambda table: table["move"] / last)
    table = plotting.intervals(
        curves, ["game", "label", "step", "share"], "normalised", **bootstrap
    )
    lines = int(np.ceil(len(labels) / columns))
    grid = figure.subplots(lines * len(GAMES), columns, sharex=True, sharey="row", squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    limits, colours = _limits(table), plotting.step_colours(table["step"])
    for row, game in enumerate(GAMES):
        means, raw = (frame[frame["game"] == game] for frame in (table, curves))
        random = means[means["label"] == plotting.METHODS["random"]]
        for index, label in enumerate(labels):
            line, column = divmod(index, columns)
            axes = grid[line * len(GAMES) + row, column]
            axes.set_visible(True)
            mean, samples = (frame[frame["label"] == label] for frame in (means, raw))
            _panel(axes, mean, samples, random, limits, colours)
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            axes.set_title(label if row == 0 else "")
            axes.set_ylabel(game if column == 0 else "")
            axes.tick_params(labelbottom=row > 0 and index + columns >= len(labels))
    figure.supxlabel(
        "share of the latent's pixels changed, most salient first (dashed: random map)", fontsize=8
    )


def _limits(means: pd.DataFrame) -> tuple[float, float]:
    """Vertical limits that hold every mean with its interval and, with a margin, 0 to 1."""
    low, high = min(0, means["ci_low"].min()), max(1, means["ci_high"].max())
    margin = 0.15 * (high - low)
    return low - margin, high + margin


def _panel(
    axes: Axes,
    means: pd.DataFrame,
    raw: pd.DataFrame,
    random: pd.DataFrame,
    limits: tuple[float, float],
    colours: Mapping[int, tuple],
) -> None:
    """Draw one method and game: a colour per step, raw curves thin, the random map dashed.

    How many thin curves leave the limits is written into the panel.
    """
    (low, high), beyond = limits, 0
    axes.set(xlim=(0, 1), ylim=limits)
    for step, colour in colours.items():
        if step not in set(means["step"]):
            continue
        mean, chance, samples = (frame[frame["step"] == step] for frame in (means, random, raw))
        lines = samples.pivot_table("normalised", "share", ["prompt_id", "seed"], observed=True)
        lines = lines.iloc[:, :RAW]
        beyond += int(((lines < low) | (lines > high)).any().sum())
        axes.plot(lines.index, lines, color=colour, lw=0.3, alpha=0.2)
        axes.plot(chance["share"], chance["estimate"], color=colour, lw=0.8, ls=(0, (3, 2)))
        plotting.line(axes, mean["share"], mean, color=colour)
    if beyond:
        note = f"{beyond} curve{'s' if beyond > 1 else ''} beyond"
        axes.text(0.98, 0.98, note, transform=axes.transAxes, ha="right", va="top", fontsize=6)
