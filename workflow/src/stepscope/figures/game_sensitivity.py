"""Part of a figure: whether a map beats the random one whatever the substrate and the score."""

import numpy as np
import pandas as pd
from matplotlib.figure import SubFigure

from stepscope.figures import plotting, text

SAMPLE = ["prompt_id", "seed", "sampling", "game", "substrate", "score"]
BETTER = {"deletion": -1, "insertion": 1}  # sign of a better map's normalised area
MARKERS = "osD^vPX*"


def part(areas: pd.DataFrame, bootstrap: plotting.Bootstrap) -> list[plotting.Part]:
    """Lay out labelled rows of rq1_auc of one model and dataset; none of games of one kind."""
    gains = gain(areas)
    if not (gains.groupby("game")["kind"].nunique() > 1).any():
        return []
    kinds = plotting.listed(gains["kind"])
    labels = plotting.listed(gains["label"])
    height = 1.2 + max(0.3, 0.05 * len(kinds)) * len(labels) + 0.08 * len(kinds)

    def draw(figure: SubFigure) -> None:
        panels = figure.subplots(1, len(BETTER), sharey=True)
        table = plotting.intervals(gains, ["game", "kind", "label"], "gain", **bootstrap)
        offsets = np.linspace(-0.36, 0.36, len(kinds))
        substrates, scores = (plotting.listed(areas[name]) for name in ("substrate", "score"))
        for axes, game in zip(panels, BETTER, strict=True):
            axes.axvline(0, color="0.6", lw=0.6)
            for kind, offset in zip(kinds, offsets, strict=True):
                substrate, score = kind.split(" · ")
                colour = plotting.PALETTE[substrates.index(substrate) % len(plotting.PALETTE)]
                rows = table[(table["game"] == game) & (table["kind"] == kind)]
                if rows.empty:
                    continue
                y = rows["label"].map(labels.index) + offset
                axes.hlines(y, rows["ci_low"], rows["ci_high"], color=colour, lw=0.8)
                marker = MARKERS[scores.index(score) % len(MARKERS)]
                about = f"{kind}, {text.counted(rows)}"
                axes.plot(rows["estimate"], y, marker, color=colour, ms=3, label=about)
            axes.set_title(game)
            axes.set_xlabel("normalised AUC against the random map's\nworse ← 0 → better")
            axes.set_yticks(range(len(labels)), labels)
            for y in np.arange(1, len(labels)) - 0.5:
                axes.axhline(y, color="0.92", lw=0.5, zorder=0)
        panels[0].set_ylim(len(labels) - 0.5, -0.5)
        drawn = {
            name: handle
            for axes in panels
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            drawn.values(),
            drawn.keys(),
            loc="outside lower center",
            ncols=2,
            fontsize=6,
            title=f"mean over steps and prompts, {bootstrap['confidence']:.0%} CI",
        )

    return [plotting.Part("Sensitivity to substrate and score, all steps", draw, 7.2, height)]


def gain(areas: pd.DataFrame) -> pd.DataFrame:
    """By how much a method's normalised area is better than the random map's of the same sample.

    Means over the steps that both have, above 0 where better; a row a sample, game and `kind`.
    """
    keys = [*SAMPLE, "step"]
    random = areas[areas["method"] == "random"].set_index(keys)["auc_normalised"]
    others = areas[areas["method"] != "random"]
    pairs = others.join(random.rename("random"), on=keys, how="inner")
    better = (pairs["auc_normalised"] - pairs["random"]) * pairs["game"].map(BETTER)
    gains = pairs.assign(gain=better).groupby([*SAMPLE, "label"], sort=False, observed=True)["gain"]
    rows = gains.mean().dropna().reset_index()
    return rows.assign(kind=rows["substrate"] + " · " + rows["score"])
