"""What is left of maps under controls, with known answers."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from stepscope.scores.controls import compared, controls_table
from stepscope.table_registry import TABLES
from support import synthetic

KINDS = ["seed", "weights", "cascade", "prompt"]
SIDE = 8


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def about(tree, values):
    """Own maps with who and when, as they are read from a store."""
    maps = synthetic.maps(tree, values)
    names = ("prompt_id", "seed", "timestep", "log_snr")
    texts = [[text for text, _ in synthetic.PROMPT]] * tree.sizes["sample"]
    coords = {name: tree[name] for name in names}
    if "word" in maps.dims:
        coords["word_text"] = (("sample", "word"), np.array(texts, dtype=object))
    return maps.assign_coords(coords)


def under_controls(own, maps, kinds=KINDS):
    """Maps of controls (control, sample, step, ...) as they are read from a store."""
    changed = xr.concat([own.copy(data=values) for values in maps], "control")
    columns = {"kind": kinds, "block": ["output" if kind == "cascade" else "" for kind in kinds]}
    columns["depth"] = [int(kind == "cascade") for kind in kinds]
    coords = {name: ("control", values) for name, values in columns.items()}
    return changed.transpose("sample", "step", "control", ...).assign_coords(coords)


def test_known_correlations_stand_beside_their_ceiling_and_chance(rng):
    tree = synthetic.trace(samples=6, steps=2, side=SIDE)  # three prompts of two seeds
    own = about(tree, rng.normal(size=(6, 2, SIDE, SIDE)))
    near = own.to_numpy() + rng.normal(size=own.shape)
    maps = under_controls(own, [near, own.to_numpy(), -own.to_numpy(), np.exp(own.to_numpy())])
    found = compared(own, maps.isel(sample=[0, 3], step=[1]))
    for name, expected in (("weights", 1), ("cascade", -1), ("prompt", 1)):
        values = found["correlation"].isel(control=KINDS.index(name))
        np.testing.assert_allclose(values, expected)
    for row, sample in enumerate((0, 3)):
        of_sample = own.to_numpy()[sample, 1].ravel()
        expected = spearmanr(of_sample, near[sample, 1].ravel()).statistic
        np.testing.assert_allclose(found["ceiling"][row], expected, rtol=1e-6)
        others = [n for n in range(6) if n // 2 != sample // 2]
        chance = [spearmanr(of_sample, own[n, 1].values.ravel()).statistic for n in others]
        np.testing.assert_allclose(found["other_sample"][row], np.mean(chance), rtol=1e-6)


def test_without_a_seed_the_ceiling_is_one_and_a_constant_map_has_no_score(rng):
    tree = synthetic.trace(samples=4, steps=1, side=SIDE)
    own = about(tree, rng.normal(size=(4, 1, SIDE, SIDE)))
    own[1] = 3.0
    changed = own.to_numpy().copy()
    changed[2] = 0.0
    found = compared(own, under_controls(own, [changed], ["weights"]))
    known = [True, False, True, True]
    np.testing.assert_array_equal(found["ceiling"].values.ravel(), np.where(known, 1, np.nan))
    np.testing.assert_array_equal(
        np.isfinite(found["correlation"].values.ravel()), [True, False, False, True]
    )


def test_the_table_has_a_row_for_each_word_and_control_that_was_computed(rng):
    tree = synthetic.trace(samples=4, steps=2, side=SIDE)
    words = about(tree, rng.normal(size=(4, 2, len(synthetic.PROMPT), SIDE, SIDE)))
    plain = about(tree, rng.normal(size=(4, 2, SIDE, SIDE)))
    layers = plain.expand_dims(layer=["a", "b"], axis=2)
    own = {"words": words, "plain": plain, "layers": layers}
    maps = {name: under_controls(values, [values] * 2, KINDS[:2]) for name, values in own.items()}
    maps["words"] = maps["words"].copy()
    maps["words"][:, :, 1, 2:] = np.nan  # another prompt has two words
    own["words"][:, :, 0] = np.nan  # and the own one lacks a word that the other has
    maps["plain"] = maps["plain"].copy()
    maps["plain"][3, 1] = np.nan  # not asked for
    table = controls_table(own, maps, synthetic.KEYS)
    assert tuple(table.columns) == TABLES["rq1_controls"].columns
    assert set(table["control"]) == {"weights"}
    counts = table.groupby("method", sort=False).size()
    assert counts.to_dict() == {"words": 4 * 2, "plain": 4 * 2 - 1, "layers": 4 * 2}
    np.testing.assert_allclose(table["correlation"], 1)
    np.testing.assert_allclose(table["ceiling"], 1)
    of_words = table[table["method"] == "words"]
    assert set(of_words["word"]) == {"cat"}
    assert set(of_words["role"]) == {"subject"}
    assert set(of_words["word_index"]) == {1}
    assert table[table["method"] == "plain"]["word_index"].isna().all()
