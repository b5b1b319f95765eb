"""What continuations with fresh noise agree on, and since when."""

import numpy as np
import pytest

from stepscope.scores import decided

FAMILIES = {"object": ["cat", "dog"], "colour": ["red", "blue"], "size": ["big", "small"]}


def test_open_prompts_lack_a_familys_words_and_are_shared():
    prompts = ["a big red cat above a dog", "a blue dog"]
    both = decided.openings(prompts, [1, 0], FAMILIES, ["empty", "without"])
    of = [(opening.sample, opening.given, opening.prompt, opening.families) for opening in both]
    assert of == [
        (1, "empty", "", ("object", "colour", "size")),
        (1, "without", "a blue", ("object",)),
        (1, "without", "a dog", ("colour",)),
        (1, "without", "a blue dog", ("size",)),
        (0, "empty", "", ("object", "colour", "size")),
        (0, "without", "a big red above a", ("object",)),
        (0, "without", "a big cat above a dog", ("colour",)),
        (0, "without", "a red cat above a dog", ("size",)),
    ]
    (alone,) = decided.openings(prompts, [0], FAMILIES, ["empty"])
    assert alone == both[4]
    named = decided.openings(prompts, [1, 0], FAMILIES, ["empty", "without"], ["size"])
    assert [opening.families for opening in named[:3]] == [
        ("object", "colour"),
        ("object",),
        ("colour",),
    ]
    assert named[3:] == both[4:]


def test_few_draws_are_corrected():
    rng = np.random.default_rng(0)
    for truth in ([0.5, 0.5], [0.25] * 4, [0.7, 0.1, 0.1, 0.1], [1.0, 0.0]):
        truth = np.array(truth)
        counts = rng.multinomial(8, truth, 4000)
        positive = truth[truth > 0]
        entropy = -(positive * np.log(positive)).sum()
        plugged = np.array([0 - (c[c > 0] / 8 * np.log(c[c > 0] / 8)).sum() for c in counts])
        corrected = decided.entropy(counts).mean()
        assert abs(corrected - entropy) <= 0.6 * abs(plugged.mean() - entropy) + 1e-12
        assert decided.agreement(counts).mean() == pytest.approx((truth**2).sum(), abs=0.01)
    assert decided.entropy(np.array([[8, 0], [0, 8]])).tolist() == [0, 0]
    assert np.isnan(decided.agreement(np.array([1, 0])))


@pytest.mark.parametrize(
    ("kept", "chance", "expected"),
    [
        ([0.25, 0.5, 1, 1], 0.25, (-2, 1)),
        ([0.5, 0.5, 0.7, 1], 0.5, (1, 4)),
        ([1, 0.5, 1, 1], 0.5, (-np.inf, -6)),  # decided at the first start, but for luck
        ([0, 0.5, 0.5, 0.5], 0.5, (4, np.inf)),
    ],
)
def test_a_concept_is_decided_between_two_starts(kept, chance, expected):
    levels = np.array([-6.0, -2.0, 1.0, 4.0])
    assert decided.interval(np.array(kept), levels, chance) == expected


def test_rows_are_of_the_stored_pictures_concept():
    opening = decided.Opening(0, "empty", "", ("colour", "size"))
    top = np.array([[0, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]])  # start, draw
    readings = {"clip": {"colour": np.eye(2)[top.ravel()]}}
    stored = {"clip": {"colour": np.eye(2)[1]}}
    rows = list(decided.rows_of(opening, readings, stored, FAMILIES, np.array([-6.0, -2.0, 1.0])))
    assert [row["kept"] for row in rows] == [0.5, 0.75, 1]
    assert [row["agreement"] for row in rows] == pytest.approx([1 / 3, 1 / 2, 1])
    assert rows[0]["entropy"] > rows[1]["entropy"] > rows[2]["entropy"] == 0
    assert {(row["concept"], row["draws"], row["family"]) for row in rows} == {
        ("blue", 4, "colour")
    }
    assert {(row["lower"], row["upper"]) for row in rows} == {(-6, -2)}
