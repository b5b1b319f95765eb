"""Which concepts are swapped, which switches win, and between which starts they stop to."""

import numpy as np
import pytest

from stepscope.language import parts
from stepscope.scores import commitment

FAMILIES = {
    "object": ["cat", "dog", "hat", "fish"],
    "colour": ["red", "orange", "blue"],
    "relation": ["next to", "above"],
}
PROMPTS = ["a dog next to a cat on red", "a cat", "a hat on an orange ground", "a hat above a dog"]
IDS = [f"p{number}" for number in range(len(PROMPTS))]
LEVELS = np.array([-6.0, -2.0, 1.0, 4.0])


def swaps(samples=None, seed=0, order=(2, 0, 1, 3)):
    return commitment.swaps(PROMPTS, IDS, order, FAMILIES, samples, seed)


def test_a_prompts_first_concept_of_a_family_becomes_one_that_it_lacks():
    found = swaps()
    named = [(swap.sample, swap.family, swap.old) for swap in found]
    assert named == [
        *[(2, "object", "hat"), (0, "object", "dog"), (1, "object", "cat"), (3, "object", "hat")],
        *[(2, "colour", "orange"), (0, "colour", "red")],
        *[(0, "relation", "next to"), (3, "relation", "above")],
    ]
    for swap in found:
        assert swap.new not in commitment.named_in_order(
            PROMPTS[swap.sample], FAMILIES[swap.family]
        )
        kept = parts(PROMPTS[swap.sample].replace("an orange", "a orange"))
        changed = parts(swap.prompt.replace("an orange", "a orange"))
        at = commitment.named_in_order(swap.prompt, [swap.new])
        assert at == [swap.new]
        rest = [word for word in kept if word not in parts(swap.old)]
        assert [word for word in changed if word not in parts(swap.new)] == rest


def test_swaps_are_the_same_for_a_seed_whatever_else_is_swapped():
    assert swaps() == swaps()
    few = swaps(samples=1)
    assert [swap.family for swap in few] == [*FAMILIES]
    assert set(few) <= set(swaps())
    assert set(swaps(order=(3, 2, 1, 0))) == set(swaps())
    assert len({tuple(swap.new for swap in swaps(seed=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("won", "expected"),
    [
        ([1, 1, 0, 0], (-2, 1)),
        ([1, 0, 0, 0], (-6, -2)),
        ([1, 1, 1, 1], (4, np.inf)),  # wins to the last: it is censored
        ([1, 0, 1, 1], (4, np.inf)),  # one that is off does not date it
        ([1, 1, 0, 1], (-2, np.inf)),  # two curves are as near: both are in the interval
        ([np.nan] * 4, (np.nan, np.nan)),
    ],
)
def test_switches_stop_to_win_between_two_starts(won, expected):
    np.testing.assert_equal(commitment.interval(np.array(won, float), LEVELS), expected)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([0.6, 0.5, 0.2, 0.1], [0.3, 0.1, 0.4, 0.6], [1, 1, 0]),
        ([0.2, 0.5, 0.2, 0.1], [0.3, 0.1, 0.4, 0.6], [np.nan] * 3),  # never seen, even from noise
        ([0.6, 0.5, 0.2, 0.7], [0.3, 0.1, 0.4, 0.6], [np.nan] * 3),  # seen without a switch
        ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1, 0, 0]),  # neither: the switch fails
    ],
)
def test_a_reader_must_tell_the_ends_apart(new, old, expected):
    np.testing.assert_equal(commitment.wins(np.array(new), np.array(old)), expected)


def test_rows_have_both_directions_and_every_reader_of_the_family():
    swap = commitment.Swap(0, "colour", "red", "blue", "a blue cat")
    # there: red until the second start; back: blue until the first
    shown = {"there": [2, 2, 0, 0], "back": [2, 2, 2]}
    readings = {
        "clip": {"colour": np.eye(3)[[*shown["there"], *shown["back"]]]},
        "blind": {"object": np.eye(4)[[0] * 7]},
    }
    stored = {"clip": {"colour": np.eye(3)[0]}, "blind": {"object": np.eye(4)[0]}}
    rows = list(commitment.rows_of(swap, readings, stored, FAMILIES["colour"], LEVELS))
    assert {row["reader"] for row in rows} == {"clip"}
    by = {
        name: [row for row in rows if row["trajectory"] == name] for name in ("stored", "swapped")
    }
    assert [row["wins"] for row in by["stored"]] == [1, 1, 0, 0]
    assert [row["wins"] for row in by["swapped"]] == [1, 0, 0, 0]
    assert {(row["from"], row["to"]) for row in by["stored"]} == {("red", "blue")}
    assert {(row["from"], row["to"]) for row in by["swapped"]} == {("blue", "red")}
    assert {(row["lower"], row["upper"]) for row in by["stored"]} == {(-2, 1)}
    assert {(row["lower"], row["upper"]) for row in by["swapped"]} == {(-6, -2)}
    assert [row["start"] for row in by["stored"]] == [0, 1, 2, 3]
