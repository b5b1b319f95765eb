"""Figure of RQ2: which attention heads find which role's words."""

from collections.abc import Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from stepscope.figures import plotting
from stepscope.figures.rq2_layers import BLOCKS
from stepscope.language import ROLES

COLUMNS = [*plotting.STEPS, "word_index", "role", "method", "layer", "head", "resolution"]
COLUMNS += ["average_precision"]


@plotting.styled
def head_map(table: pd.DataFrame) -> Figure:
    """Draw layer by head, for each role, the mean average precision of the head's attention.

    From rq2_heads: means over the steps, then over a prompt's samples and words, then over prompts.
    """
    heads = table[is_drawn(table)]
    parts = [
        plotting.Part(
            " · ".join(filter(None, [title, str(sampling), str(method)])),
            partial(_maps, of),
            7.2,
            0.9 + 0.2 * max(4, of["layer"].nunique()),
        )
        for title, rows in plotting.groups(heads)
        for (sampling, method), of in rows.groupby(["sampling", "method"], sort=False)
    ]
    why = "No method of the study has maps by head (attention with heads: all)."
    return plotting.stacked(parts or [plotting.nothing("", why)])


def is_drawn(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are of a head and of a word with a role."""
    return (table["head"] != "") & (table["role"] != "")


def means_of(rows: pd.DataFrame, role: str) -> pd.DataFrame:
    """Mean average precision (layer by head) of a role, layers in the order of the table."""
    of_role = rows[rows["role"] == role]
    keys = ["layer", "head", "prompt_id"]
    by_prompt = of_role.groupby(keys, sort=False)["average_precision"].mean()
    wide = by_prompt.groupby(["layer", "head"], sort=False).mean().unstack("head")
    return wide.reindex(columns=sorted(wide.columns, key=int)).reindex(
        plotting.listed(rows["layer"])
    )


def _maps(rows: pd.DataFrame, figure: SubFigure) -> None:
    """Draw a panel a role on one scale of colours."""
    roles = [role for role in ROLES if role in set(rows["role"])]
    found = {role: means_of(rows, role) for role in roles}
    panels = figure.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "viridis")
    grids = rows.drop_duplicates("layer").set_index("layer")["resolution"]
    for axes, (role, means) in zip(panels, found.items(), strict=True):
        axes.imshow(means.to_numpy(), cmap=colours.cmap, norm=colours.norm, aspect="auto")
        axes.set_title(role)
        axes.set_xticks(range(means.shape[1]), [str(name) for name in means.columns])
        axes.set_xlabel("head")
        if np.isfinite(means.to_numpy()).any():
            place = np.unravel_index(np.nanargmax(means.to_numpy()), means.shape)
            axes.plot(place[1], place[0], "o", mfc="none", mec="white", ms=5)
    layers = list(found[roles[0]].index)
    labels = [f"{name} ({grids[layer]})" for name, layer in zip(short(layers), layers, strict=True)]
    panels[0].set_yticks(range(len(labels)), labels)
    count = rows["prompt_id"].nunique()
    steps = ", ".join(map(str, sorted(rows["step"].unique())))
    figure.colorbar(
        colours,
        ax=list(panels),
        label=f"average precision\nn = {count} prompts, steps {steps}",
        fraction=0.04,
    )


def short(layers: Sequence[str]) -> list[str]:
    """Name layers by their blocks' numbers: "down 0.1", "up 2.0 attn1" where two have them."""
    names = []
    for layer in layers:
        block, *_ = layer.partition("_block")
        numbers = [part for part in layer.split(".") if part.isdigit()][:2]
        names.append(f"{block if block in BLOCKS else ''} {'.'.join(numbers)}".strip())
    last = [layer.rpartition(".")[2] for layer in layers]
    return [
        f"{name} {end}" if names.count(name) > 1 else name
        for name, end in zip(names, last, strict=True)
    ]
