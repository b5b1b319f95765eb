"""The figure of the games says which way is better, and tells apart what it compares."""

import numpy as np
import pandas as pd
import pytest

from stepscope.figures import games
from stepscope.table_registry import TABLES
from support.drawings import BOOTSTRAP, UNIT, crossed, drawn, texts, times


def game_tables(rng, methods=("df_rise", "df_cam", "random"), prompts=8, side=16):
    moves = np.arange(side + 1)
    keys = crossed(
        method=methods,
        game=["deletion", "insertion"],
        prompt_id=[f"p{i:02}" for i in range(prompts)],
        seed=[0, 1],
        step=[2, 8, 15],
    )
    log_snr = times().set_index("step")["log_snr"]
    skill = {method: index / len(methods) for index, method in enumerate(reversed(methods))}
    curves = []
    for row in keys.itertuples():
        gain = 0.25 + 2.2 * skill[row.method] * row.step / 15
        power = np.exp(rng.normal(0, 0.2)) / (1 + gain)
        value = (moves / side) ** power * (0.5 + row.step / 30)
        value = (
            value
            if row.game == "deletion"
            else (0.5 + row.step / 30) * (1 - (moves / side) ** power)
        )
        curves.append(value + rng.normal(0, 0.01, len(moves)))
    base = keys.assign(
        **UNIT,
        sampling="uniform",
        timestep=500.0,
        log_snr=keys["step"].map(log_snr),
        similarity="",
        score="clip_distance",
    )
    base["similarity"] = np.where(base["method"].str.startswith("df_rise"), "structure", "")
    base["substrate"] = base["game"].map({"deletion": "zero", "insertion": "blur"})
    curves = np.array(curves)
    areas = base.assign(auc_distance=curves.mean(axis=1), auc_similarity=np.nan)
    rows = base.loc[base.index.repeat(len(moves))].assign(
        move=np.tile(moves, len(base)), value=curves.ravel()
    )
    return rows, areas


def test_auc_says_which_way_is_better(rng):
    text = drawn(games.auc(*game_tables(rng, prompts=3), **BOOTSTRAP))
    for part in ("deletion (substrate: zero): higher", "insertion (substrate: blur): lower"):
        assert part in text
    for part in (
        "DF-RISE",
        "random map",
        "step 15",
        "n = 3 prompts, 2 noises",
        "AUC of the squared CLIP feature distance",
    ):
        assert part in text


def test_similarities_of_a_method_are_told_apart(rng):
    curves, areas = game_tables(rng, methods=("df_rise", "random"), prompts=2)
    other = [
        table[table["method"] == "df_rise"].assign(similarity="cosine") for table in (curves, areas)
    ]
    both = map(pd.concat, zip((curves, areas), other, strict=True))
    text = texts(games.auc(*both, **BOOTSTRAP))
    assert "DF-RISE · structure" in text
    assert "DF-RISE · cosine" in text


@pytest.mark.parametrize(
    ("game", "kind", "better"),
    [
        ("deletion", "distance", "higher"),
        ("insertion", "distance", "lower"),
        ("deletion", "similarity", "lower"),
        ("insertion", "similarity", "higher"),
    ],
)
def test_direction_of_a_game(game, kind, better):
    assert games.direction(game, kind) == better


def test_columns_that_the_figures_read_are_the_tables():
    assert set(games.CURVES) <= set(TABLES["rq1_curves"].columns)
    assert set(games.AREAS) <= set(TABLES["rq1_auc"].columns)
