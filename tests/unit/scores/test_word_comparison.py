"""Agreement, order, regions and interactions of words: planted answers are found."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import spearmanr

from stepscope.scores import word_agreement, word_order, word_regions
from stepscope.scores.word_relevance import relevance_table
from stepscope.store.word_curves import centre, reigns
from support import synthetic
from support.synthetic import KEYS

WORDS = (("a", ""), ("big", "attribute"), ("cat", "subject"), ("on", ""), ("blue", "background"))
STEPS = 6


@pytest.fixture(scope="module")
def tree():
    """Eight samples, two of each prompt, of five words."""
    return synthetic.trace(samples=8, steps=STEPS, words=WORDS)


def word_maps(values):
    return xr.DataArray(values, dims=("sample", "step", "word", "y", "x"))


def drawn(seed=0):
    """Random smooth-in-time maps (8, steps, 5, 4, 4) > 0."""
    rng = np.random.default_rng(seed)
    return np.exp(np.cumsum(rng.normal(size=(8, STEPS, 5, 4, 4)), 1))


def test_methods_agree_by_spearman_over_words_steps_and_cells(tree):
    first, second = drawn(0), drawn(0) + drawn(1)
    maps = {"m": word_maps(first), "n": word_maps(second)}
    table = word_agreement.agreement_table(maps, tree, KEYS).set_index("over")
    roles = [1, 2, 4]
    cells = [of[0][:, roles].reshape(STEPS, 3, -1) for of in (first, second)]
    sums = [of.sum(-1) for of in cells]
    expected = {
        "words": np.mean([spearmanr(a, b)[0] for a, b in zip(*sums, strict=True)]),
        "steps": np.mean([spearmanr(sums[0][:, w], sums[1][:, w])[0] for w in range(3)]),
        "cells": np.mean(
            [spearmanr(cells[0][s, w], cells[1][s, w])[0] for s in range(STEPS) for w in range(3)]
        ),
    }
    swapped = np.mean(
        [spearmanr(sums[0][:, w], sums[1][:, v])[0] for w in range(3) for v in range(3) if v != w]
    )
    for over, value in expected.items():
        assert table.loc[over, "agreement"].iloc[0] == pytest.approx(value), over
    assert table.loc["steps", "swapped_words"].iloc[0] == pytest.approx(swapped)
    assert table.loc["words", "swapped_words"].isna().all()
    others = second[2:, :, roles].sum((-2, -1))  # of the three other prompts, word by word
    swapped = np.mean([spearmanr(sums[0][:, w], o[:, w])[0] for o in others for w in range(3)])
    assert table.loc["steps", "swapped_prompts"].iloc[0] == pytest.approx(swapped)
    shifts = [
        np.mean([spearmanr(sums[0][:, w], np.roll(sums[1][:, w], k))[0] for w in range(3)])
        for k in range(STEPS)
    ]
    below = np.mean(np.array(shifts[1:]) < shifts[0])
    assert table.loc["steps", "shifted"].iloc[0] == pytest.approx(below)


def test_what_all_prompts_share_is_no_agreement_about_this_one(tree):
    common = drawn(0)[:1].repeat(8, 0)
    own = drawn(1)[::2].repeat(2, 0)  # of the prompt
    beyond = {}
    for name, maps in (("common", common), ("own", own)):
        noisy = [word_maps(maps * drawn(seed) ** 0.01) for seed in (2, 3)]
        found = word_agreement.agreement_table(dict(zip("mn", noisy, strict=True)), tree, KEYS)
        found = found.groupby("over")[["agreement", "beyond_prompts"]].mean()
        assert (found["agreement"] > 0.8).all()
        beyond[name] = found["beyond_prompts"]
    assert (beyond["common"].abs() < 0.1).all()
    assert (beyond["own"] > 0.2).all()


def test_steps_and_words_that_a_method_leaves_out_have_no_part(tree):
    first, second = drawn(0), drawn(1)
    second[:, ::2] = np.nan
    second[:, :, [0, 3]] = np.nan  # words without a role
    second[4:] = np.nan  # samples that it does not explain
    maps = {
        "m": word_maps(first),
        "n": word_maps(second),
        "flat": synthetic.maps(tree, first[:, :, 0]),
    }
    table = word_agreement.agreement_table(maps, tree, KEYS)
    assert table.groupby("over").size().to_dict() == dict.fromkeys(word_agreement.OVER, 4)
    odd = [of[0, 1::2][:, [1, 2, 4]].sum((-2, -1)) for of in (first, second)]
    expected = np.mean([spearmanr(odd[0][:, w], odd[1][:, w])[0] for w in range(3)])
    steps = table[table["over"] == "steps"]
    assert steps["agreement"].iloc[0] == pytest.approx(expected)
    assert word_agreement.agreement_table({}, tree, KEYS).empty


def test_order_finds_peaks_centres_and_when_a_word_takes_over(tree):
    values = np.full((8, STEPS, 5, 4, 4), 1e-3)
    values[:, :3, 2] = 1.0  # the cat, then the blue, with a tie by a hair between
    values[:, 3, [2, 4]] = [[[1.0]], [[1.02]]]
    values[:, 4:, 4] = 1.0
    relevance = relevance_table({"m": word_maps(values)}, tree, KEYS)
    table = word_order.order_table(relevance, tree)
    assert len(table) == 8 * 5
    own = table[table["prompt_id"].eq("p0") & table["seed"].eq(0)].set_index("word")
    log_snr = tree["log_snr"].to_numpy()
    assert own.loc["cat", "peak_step"] in (1, 2, 3)
    assert own.loc["blue", "peak_step"] in (5, 6)
    assert own.loc["cat", "centre_log_snr"] < own.loc["blue", "centre_log_snr"]
    assert own.loc[["big", "cat", "blue"], "position"].tolist() == [0, 0.5, 1]
    assert own.loc[["cat", "blue"], "centre_rank"].tolist() == [0, 1]
    assert own.loc[["a", "on"], ["position", "centre_rank"]].isna().all(axis=None)
    assert own.loc["cat", "reign_log_snr"] == log_snr[0]
    assert (own.loc["blue", "reign_low"], own.loc["blue", "reign_high"]) == (log_snr[2], log_snr[4])
    assert log_snr[2] < own.loc["blue", "reign_log_snr"] < log_snr[4]
    assert own.loc["big", "reign_log_snr"] != own.loc["big", "reign_log_snr"]  # never
    assert set(own["word_order"]) == {"subject, background"}
    assert own.loc["big", "slot"] == "attribute of subject"


def test_a_switch_is_uncertain_by_the_seeds_and_no_lead_of_some_counts():
    mean = np.array([[3, 3, 2, 1, 1.0], [1, 1.5, 2, 3, 3], [0, 2.9, 0, 0, 0]])
    when = np.arange(5.0)
    found = reigns(mean, mean, mean, when)
    assert [reign.word for reign in found] == [0, 1]
    assert found[0][1:] == (0, 0, 0)
    assert found[1][1:] == (2, 0, 3)  # step 1 is the third word's but for a hair
    wide = reigns(mean - 0.9, mean, mean + 0.9, when)
    assert wide[1][2:] == (0, 3)
    assert reigns(mean - 2, mean, mean + 2, when) == []  # no word leads whatever the seed
    assert reigns(0 * mean, 0 * mean, 0 * mean, when) == []


def test_a_centre_does_not_depend_on_how_dense_steps_are():
    grid = np.linspace(-4, 4, 81)
    dense = np.concatenate([grid[:40:4], grid[40:]])
    for at in (-1.0, 1.0):
        of_both = [centre(x, np.exp(-((x - at) ** 2))) for x in (grid, dense)]
        np.testing.assert_allclose(of_both, at, atol=0.02)
    assert np.isnan(centre(grid, np.zeros(81)))


def test_gain_is_how_much_denser_a_words_map_is_in_its_region_than_other_places_words():
    inside = np.zeros((3, 4, 4), bool)
    inside[0, :2], inside[1, :2], inside[2, 2:] = True, True, True  # two share a place
    maps = np.zeros((1, 3, 4, 4))
    maps[0, 0, :2], maps[0, 1, 0], maps[0, 2] = 1, 5, 3
    own, others = word_regions.own_and_others(maps, inside)
    np.testing.assert_allclose(own[0], [2, 2, 1])
    np.testing.assert_allclose(others[0], [1, 1, 0])
    maps[0, 2] = -1  # nothing positive
    own, others = word_regions.own_and_others(maps, inside)
    np.testing.assert_allclose(own[0], [2, 2, np.nan])
    np.testing.assert_allclose(others[0], [np.nan, np.nan, 0])


def test_regions_and_interactions_are_tables_of_words_with_their_texts(tree):
    masks = np.full((8, 5, 8, 8), np.nan)
    masks[:, 2], masks[:, 4] = 0, 1
    masks[:, 2, :4], masks[:, 4, :4] = 1, 0
    maps = {"m": word_maps(drawn()), "flat": synthetic.maps(tree, drawn()[:, :, 0])}
    mask = xr.DataArray(masks, dims=("sample", "word", "y", "x"))
    table = word_regions.region_table(maps, tree, mask, KEYS)
    assert len(table) == 8 * STEPS * 2
    assert set(table["word"]) == {"cat", "blue"}
    np.testing.assert_allclose(table["gain"], table["own"] - table["others"])
    pairs = np.full((8, STEPS, 5, 5), np.nan)
    pairs[:, 2, [2, 4], [4, 2]] = 0.5
    numbers = xr.DataArray(pairs, dims=("sample", "step", "word", "other_word"))
    found = word_regions.interaction_table({"m_interaction": numbers}, tree, KEYS)
    assert len(found) == 8
    row = found.iloc[0]
    assert (row["word"], row["other_word"], row["other_role"]) == ("cat", "blue", "background")
    assert (row["step"], row["interaction"], row["other_index"]) == (3, 0.5, 4)
    empty = word_regions.interaction_table({}, tree, KEYS)
    assert isinstance(empty, pd.DataFrame)
    assert empty.empty
