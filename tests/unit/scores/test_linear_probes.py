"""A concept that activations hold is read in prompts that are new to the probe; nothing else."""

import numpy as np
import pytest

from stepscope.scores import linear_probes
from stepscope.scores.probe_courses import NAMED, OPEN, balanced_accuracy, scored
from support.probed import PROMPTS, SEEDS, features, names_of, target


def accuracy_of(made, labels):
    (read,) = linear_probes.held_out(made, folds_of(labels), [labels])
    return balanced_accuracy(read == labels.labels, labels.labels)


def folds_of(labels):
    return linear_probes.folds_of(names_of(len(labels.rows)), 0)


@pytest.mark.parametrize("concepts", [2, 4, 8])
def test_what_is_held_linearly_is_read_and_shuffled_labels_are_not(concepts):
    labels = target(concepts)
    own, *control = accuracy_of(features(labels, strength=3.0), labels)
    assert own > 0.9
    assert np.mean(control) == pytest.approx(1 / concepts, abs=0.06)
    assert max(control) < own


@pytest.mark.parametrize("concepts", [2, 8])
@pytest.mark.parametrize("made", ["noise", "constant", "of the prompt alone"])
def test_what_holds_nothing_is_at_chance(made, concepts):
    found = []
    for seed in range(8):
        labels = target(concepts, seed=seed, draws=1)
        values = features(labels, strength=0.0, seed=seed)
        if made == "constant":
            values = np.ones_like(values)
        if made == "of the prompt alone":  # known by heart, which no other prompt is helped by
            values = np.repeat(values[:: len(SEEDS)], len(SEEDS), axis=0)
        found.append(accuracy_of(values, labels)[0])
    assert np.mean(found) == pytest.approx(1 / concepts, abs=0.07)


@pytest.mark.parametrize("count", [4, 48, 50])
def test_no_prompt_is_on_both_sides_of_a_split(count):
    prompts = np.array([f"p{number // 2}" for number in range(count)])
    folds = linear_probes.folds_of(prompts, 0)
    assert len(set(folds)) == min(linear_probes.FOLDS, count // 2)
    for prompt in set(prompts):
        assert len(set(folds[prompts == prompt])) == 1


def test_labels_are_dealt_to_prompts_as_they_are():
    labels = target(4)
    for dealt in labels.labels[1:]:
        pairs, own = (sorted(map(tuple, of.reshape(-1, 2))) for of in (dealt, labels.labels[0]))
        assert pairs == own
    assert len({dealt.tobytes() for dealt in labels.labels[1:]}) > 15


def test_the_same_seed_gives_the_same_bits_whatever_stands_beside():
    labels, other = target(4), target(8)
    made = features(labels, strength=1.0)
    (alone,) = linear_probes.held_out(made, folds_of(labels), [labels])
    again, _ = linear_probes.held_out(made, folds_of(labels), [target(4), other])
    np.testing.assert_array_equal(alone, again)


def test_a_frequent_concept_is_not_read_for_being_frequent():
    shown = np.where(np.arange(2 * PROMPTS) < 36, 0, 1)
    labels = target(2, shown=shown)
    own, *_ = accuracy_of(features(labels, strength=0.0), labels)
    assert own < 0.75
    own, *_ = accuracy_of(features(labels, strength=3.0), labels)
    assert own > 0.9


@pytest.mark.parametrize(
    ("shown", "kept", "message"),
    [
        ([0, 0, 0, 1, 1, 1], ("c0", "c1"), ""),
        ([0, 0, 0, 1, 1, 1, 2, 2], ("c0", "c1"), "lacks what fewer than 3 prompts show: c2."),
        ([0, 0, 0, 1, 1, 2], None, "colour, read by clip, is left out: of its concepts 1"),
        ([-1, -1, 0, 0, 0, 2, 2, 2], ("c0", "c2"), ""),
    ],
)
def test_concepts_of_few_prompts_are_left_out_and_named(shown, kept, message, capsys):
    found = target(3, shown=np.repeat(shown, 2))
    assert (found and found.concepts) == kept
    assert message in (printed := capsys.readouterr().out)
    assert bool(message) == bool(printed)
    if found:
        assert set(np.array(shown)[found.rows // 2]) == {int(name[1]) for name in kept}
        assert set(found.labels.ravel()) == {0, 1}


def test_one_prompt_with_two_seeds_is_one_prompt(capsys):
    assert target(2, shown=np.repeat([0, 0, 0, 1, 1], 2)) is None


def test_named_and_open_prompts_are_asked_apart():
    named = np.arange(2 * PROMPTS) % 8 < 4
    labels = target(4, named=named)
    read = np.where(named, labels.labels, -1)
    asked = dict(labels.asked())
    np.testing.assert_array_equal(asked[NAMED], ~asked[OPEN])
    hits, control = scored(labels, read)
    assert hits[asked[NAMED]].all()
    assert not hits[asked[OPEN]].any()
    assert (control[NAMED] == 1).all()
    assert (control[OPEN] == 0).all()
    assert "open" not in dict(target(4).asked())  # there is none
