"""Onsets of probes: what is planted at a step is dated to it, and noise to none."""

import numpy as np
import pytest

from stepscope.scores import linear_probes
from stepscope.scores.probe_courses import LATENT, SEEN, UNCOND, course, scored
from stepscope.statistics import probe_onsets
from stepscope.table_columns import PROBES, PROBES_SUMMARY
from support.probed import features, names_of, target
from support.synthetic import KEYS as UNIT

STEPS = 6
TIMES = {
    "step": np.arange(1, STEPS + 1),
    "timestep": np.linspace(900, 100, STEPS),
    "log_snr": np.linspace(-6.0, 4.0, STEPS),
}
KEYS = {name: UNIT[name] for name in ("model", "dataset", "sampling")}
DRAWS = {"draws": 400, "confidence": 0.95, "seed": 0}


def probed(labels, held_from, layer="mid", half=UNCOND, seed=0, strength=3.0):
    """The course of a layer that holds a concept from a step on (from 0)."""
    folds = linear_probes.folds_of(names_of(len(labels.rows)), 0)
    steps = []
    for step in range(STEPS):
        made = features(labels, strength * (step >= held_from), seed=100 * seed + step)
        steps.append(scored(labels, linear_probes.held_out(made, folds, [labels])[0]))
    return course(labels, layer, half, steps)


def seen(labels, from_step, seed=0):
    """The course of a reader that is right from a step on, and sees anything before."""
    rng = np.random.default_rng([seed, 2])
    shape = (STEPS, len(labels.rows))
    random = rng.integers(len(labels.concepts), size=shape)
    right = np.where(np.arange(STEPS)[:, None] >= from_step, labels.labels[0], random)
    return course(labels, SEEN, "", [scored(labels, of_step) for of_step in right])


def summed(*courses):
    frame = probe_onsets.summary(courses, TIMES, KEYS, **DRAWS)
    assert list(frame) == list(PROBES_SUMMARY)
    frame = frame[frame["prompts"] == "all"]
    return frame.set_index(["family", "layer", "quantity"])


@pytest.mark.parametrize(
    ("concepts", "held_from"), [(2, 0), (2, 3), (4, 2), (4, 5), (8, 0), (8, 4)]
)
def test_a_concept_is_dated_to_the_step_from_which_a_layer_holds_it(concepts, held_from):
    labels = target(concepts, draws=60)
    row = summed(seen(labels, 0), probed(labels, held_from)).loc["colour", "mid", "log_snr"]
    level = TIMES["log_snr"][held_from]
    assert row["estimate"] == level
    assert row["ci_low"] <= level <= row["ci_high"]
    assert (row["n"], row["samples"], row["noises"]) == (24, 48, 48)


def test_noise_is_dated_to_no_step():
    found = []
    for seed in range(4):
        noise = probed(target(4, seed=seed, draws=60), STEPS, seed=seed)
        found.append(
            summed(seen(noise.target, 0), noise).loc["colour", "mid", "log_snr"]["estimate"]
        )
    assert np.isfinite(found).sum() <= 1


@pytest.mark.parametrize(("held", "visible"), [(1, 4), (3, 3), (4, 1), (2, STEPS)])
def test_what_is_seen_is_held_against_each_layer_and_the_best(held, visible):
    labels = target(4, draws=60)
    frame = summed(
        seen(labels, visible),
        probed(labels, STEPS, LATENT, ""),
        probed(labels, held),
        probed(labels, STEPS, "up", seed=1),
    )
    lags = frame.xs("lag", level="quantity")["estimate"]
    levels = np.append(TIMES["log_snr"], TIMES["log_snr"][-1])  # never is as at the last
    assert lags["colour", "mid"] == levels[visible] - levels[held]
    assert lags["colour", probe_onsets.ANY] == lags["colour", "mid"]
    if visible < STEPS:
        assert lags["colour", LATENT] == levels[visible] - levels[-1]
    else:
        assert np.isnan(lags["colour", LATENT])  # neither comes
    assert SEEN not in lags["colour"]


def test_intervals_hold_the_true_step():
    held = 0
    for seed in range(5):
        labels = target(4, seed=seed, draws=60)
        made = probed(labels, 3, seed=seed, strength=1.2)
        row = summed(seen(labels, 0), made).loc["colour", "mid", "log_snr"]
        held += row["ci_low"] <= TIMES["log_snr"][3] <= row["ci_high"]
    assert held >= 4


def test_one_step_alone_above_the_control_is_no_onset():
    beyond = np.array([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0]], bool)
    assert probe_onsets._first(beyond).tolist() == [3, 5, 6]


def test_weights_count_samples_as_often_as_their_prompts_are_drawn():
    labels = target(4)
    course = probed(labels, 2)
    weights = probe_onsets.drawn(labels.prompts, 30, 0)
    found = probe_onsets.weighed(course.hits, labels.labels[0], weights)
    for draw, counts in enumerate(weights):
        rows = np.repeat(np.arange(len(counts)), counts.astype(int))
        shares = [
            course.hits[:, rows[labels.labels[0, rows] == concept]].mean(1)
            for concept in np.unique(labels.labels[0, rows])
        ]
        np.testing.assert_allclose(found[draw], np.mean(shares, axis=0))
    assert (weights[:, ::2] == weights[:, 1::2]).all()  # a prompt's samples go together
    assert (weights.sum(1) == 48).all()


def test_rows_say_what_is_read_and_what_the_control_reads():
    labels = target(4, named=np.arange(48) < 24, draws=60)
    frame = probe_onsets.table([probed(labels, 3)], TIMES, KEYS)
    assert list(frame) == list(PROBES)
    assert frame["prompts"].value_counts().to_dict() == {"all": 6, "named": 6, "open": 6}
    everything = frame[frame["prompts"] == "all"]
    assert (everything["balanced_accuracy"] > everything["control_high"]).tolist() == [
        False
    ] * 3 + [True] * 3
    assert everything["control_mean"].to_numpy() == pytest.approx(0.25, abs=0.06)
    assert (frame["chance"] == 0.25).all()
    assert (frame["n"] == frame["prompts"].map({"all": 24, "named": 12, "open": 12})).all()


def test_a_study_without_a_family_has_tables_without_rows():
    assert list(probe_onsets.table([], TIMES, KEYS)) == list(PROBES)
    assert probe_onsets.summary([], TIMES, KEYS, **DRAWS).empty
