"""The figure of the games says which way is better, and tells apart what it compares."""

import numpy as np
import pandas as pd
import pytest

from stepscope.figures import game_sensitivity, games
from stepscope.store import tables
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
    first, last = curves[:, :1], curves[:, -1:]
    deletion = (base["game"] == "deletion").to_numpy()[:, None]
    untouched, changed = np.where(deletion, first, last), np.where(deletion, last, first)
    shares = (curves - changed) / (untouched - changed)
    areas = base.assign(auc_distance=curves.mean(axis=1), auc_normalised=shares.mean(axis=1))
    rows = base.loc[base.index.repeat(len(moves))].assign(
        move=np.tile(moves, len(base)), normalised=shares.ravel()
    )
    return rows, areas


def test_auc_says_which_way_is_better(rng):
    text = drawn(games.auc(*game_tables(rng, prompts=3), **BOOTSTRAP))
    for part in ("deletion (substrate: zero)", "insertion (substrate: blur)"):
        assert part in text
    assert text.index("← lower is better") < text.index("higher is better →")
    for part in (
        "DF-RISE",
        "random map",
        "step 15",
        "n = 3 prompts, 2 noises",
        "normalised AUC of the\nsquared CLIP feature distance",
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


def test_other_substrates_and_scores_are_drawn_as_sensitivity(rng):
    curves, areas = game_tables(rng, prompts=3)
    assert not game_sensitivity.part(areas.assign(label="a"), BOOTSTRAP)
    both = [pd.concat([table, table.assign(substrate="noise")]) for table in (curves, areas)]
    text = texts(games.auc(*both, **BOOTSTRAP))
    assert "deletion (substrate: zero)" not in text  # zeros are what masks leave
    assert "deletion (substrate: noise)" in text
    assert "insertion (substrate: blur)" in text  # the first, which no method uses
    for kind in ("zero", "noise", "blur"):
        assert f"{kind} · clip_distance, n = 3 prompts, 2 noises" in text


def test_curves_are_read_of_the_games_that_are_drawn(rng, tmp_path):
    curves, areas = game_tables(rng, prompts=2)
    both = [pd.concat([table, table.assign(substrate="noise")]) for table in (curves, areas)]
    path = str(tmp_path / "rq1_curves.tsv")
    tables.write(path, both[0][games.CURVES])
    frame = tables.read_large(path, games.CURVES, games.of_primary(both[1]))
    found = set(frame.groupby(["game", "substrate"]).groups)
    assert found == {("deletion", "noise"), ("insertion", "blur")}
    assert len(frame) == len(curves)
    assert tables.read_large(path, games.CURVES, games.of_primary(areas.iloc[:0])).empty


def test_a_gain_is_positive_where_a_map_beats_the_random_one(rng):
    _, areas = game_tables(rng, prompts=2)
    areas = areas.assign(label=areas["method"])
    deletion = areas["game"] == "deletion"
    shares = {"df_rise": 0.2, "df_cam": 0.7, "random": 0.5}
    areas["auc_normalised"] = areas["method"].map(shares).where(deletion, 0.4)
    areas.loc[~deletion & (areas["method"] == "df_rise"), "auc_normalised"] = 0.9
    found = game_sensitivity.gain(areas).groupby(["game", "label"])["gain"].agg(["mean", "size"])
    assert found["mean"].round(6).to_dict() == {
        ("deletion", "df_cam"): -0.2,
        ("deletion", "df_rise"): 0.3,
        ("insertion", "df_cam"): 0.0,
        ("insertion", "df_rise"): 0.5,
    }
    assert (found["size"] == 4).all()  # two prompts with two seeds, steps averaged


@pytest.mark.parametrize("wild", [0, 1, 2])
def test_curves_that_leave_a_panel_are_counted_in_it(rng, wild):
    curves, areas = game_tables(rng, methods=("df_rise", "random"), prompts=12)
    at = (curves["method"] == "df_rise") & (curves["game"] == "deletion") & (curves["step"] == 8)
    at &= (curves["move"] == 5) & (curves["seed"] == 0)
    curves.loc[at & curves["prompt_id"].isin(["p00", "p01"][:wild]), "normalised"] = 6.0
    text = texts(games.auc(curves, areas, **BOOTSTRAP))
    beyond = [line for line in text.splitlines() if line.endswith("beyond")]
    assert beyond == [[], ["1 curve beyond"], ["2 curves beyond"]][wild]


def test_columns_that_the_figures_read_are_the_tables():
    assert set(games.CURVES) <= set(TABLES["rq1_curves"].columns)
    assert set(games.AREAS) <= set(TABLES["rq1_auc"].columns)
