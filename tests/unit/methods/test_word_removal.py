"""Word removal and values of words: the change is the word's, and values sum to the whole."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stepscope.diffusion.planted import ConstantDenoiser, CopyingDenoiser, Wrapped
from stepscope.methods import coalitions, removals
from stepscope.methods.word_removal import word_removal
from stepscope.methods.word_values import word_values
from stepscope.models import rewording
from support import tiny
from support.replayed import corner, replay


class HearsOnly(Wrapped):
    """A denoiser whose conditional output has, in a region, the length of the text it is given."""

    def outputs(self, latents, step, conditioning=None, **options):
        said = step[0].conditioning if conditioning is None else conditioning
        heard = said["prompt_embeds"][:, 1].flatten(1).abs().mean(1)
        halves = torch.zeros(len(latents), 2, *latents.shape[1:])
        halves[:, 1] = heard[:, None, None, None] * corner()
        return halves


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({}, []),
        ({"kind": "embedding"}, []),
        ({"kind": "embedding", "filler": "padding"}, []),
        ({"kind": "replace", "families": ["dog cat"]}, [0, 2, 3]),
    ],
)
def test_a_word_that_acts_in_a_region_is_lost_there_and_words_of_a_text_all_at_once(
    options, left_out
):
    denoiser, steps = replay(prompt="a cat, and a cat.")
    own, alone = (word_removal(HearsOnly(denoiser), of, **options) for of in (steps[:2], steps[0]))
    for found in (*own, alone):
        change, along = found[""], found["along"]
        assert change.shape == along.shape == (5, 16, 16)
        assert np.flatnonzero(np.isnan(change).all((1, 2))).tolist() == left_out
        said = np.delete(change, left_out, 0)
        assert (said[:, corner() == 0] == 0).all()
        assert (said[:, corner() > 0] > 0).all()
        assert not np.allclose(change[1], change[4])  # the two cats
    np.testing.assert_array_equal(alone[""], own[0][""])  # and the same in every call


@pytest.mark.parametrize("planted", [ConstantDenoiser, CopyingDenoiser])
def test_a_model_without_text_loses_nothing_and_gives_no_values(planted):
    denoiser, steps = replay()
    for found in (
        word_removal(planted(denoiser), steps[1]),
        word_values(planted(denoiser), steps[1]),
    ):
        maps = [of for of in found.values() if getattr(of, "ndim", 0) == 3]
        assert all((of == 0).all() for of in maps)


@pytest.mark.parametrize(
    ("prompt", "guidance", "negative"),
    [
        ("a red cat", 1.0, ""),
        ("a red cat", 4.0, "blue"),
        ("cat", 4.0, ""),
        ("a cat, and a cat.", 4.0, ""),
        (" ".join(["cat"] * (tiny.LENGTH - 2)), 4.0, ""),  # as many as the text encoder takes
    ],
    ids=["unguided", "negative", "one word", "repeated", "token limit"],
)
def test_values_sum_to_the_whole_effect(prompt, guidance, negative):
    denoiser, steps = replay(prompt=prompt, guidance=guidance, negative_prompt=negative)
    found = word_values(denoiser, steps[1], draws=2)
    assert found[""].sum() + found["rest"] == pytest.approx(1, abs=1e-5)
    removed = word_removal(denoiser, steps[1])
    if len(steps[1].words) == 1:  # all there is
        assert removed["along"].sum() == pytest.approx(1, abs=1e-5)
        assert found["banzhaf"].sum() == pytest.approx(1, abs=1e-5)


def by_definition(players, worth):
    """Shapley and Banzhaf values and interactions, from orders and coalitions one by one."""
    orders = list(itertools.permutations(range(players)))
    shapley = np.zeros(players)
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            shapley[player] += (worth[before | {player}] - worth[before]) / len(orders)
    banzhaf = np.zeros(players)
    of_two = np.full((2, players, players), np.nan)
    for own in itertools.chain(range(players), itertools.permutations(range(players), 2)):
        who = {own} if isinstance(own, int) else set(own)
        others = [p for p in range(players) if p not in who]
        total = np.zeros(2)
        for size in range(len(others) + 1):
            for chosen in map(frozenset, itertools.combinations(others, size)):
                change = sum(
                    (-1) ** (len(who) - len(part)) * worth[chosen | frozenset(part)]
                    for count in range(len(who) + 1)
                    for part in itertools.combinations(who, count)
                )
                weight = math.factorial(size) * math.factorial(len(others) - size)
                total += change * np.array(
                    [weight / math.factorial(len(others) + 1), 1 / 2 ** len(others)]
                )
        if isinstance(own, int):
            banzhaf[own] = total[1]
        else:
            of_two[:, own[0], own[1]] = total
    return shapley, banzhaf, of_two


def game(players, seed=0):
    """A random game: its worth by coalition, and as the values are given it, in two cells."""
    rng = np.random.default_rng(seed)
    kept = coalitions.every(players)
    worth = {frozenset(np.flatnonzero(row).tolist()): rng.normal() for row in kept}
    worth[frozenset()] = 0.0

    def called(rows):
        total = np.array([worth[frozenset(np.flatnonzero(row).tolist())] for row in rows])
        return np.stack([total / 4, 3 * total / 4], 1)

    return worth, called


@pytest.mark.parametrize("players", [1, 2, 5])
def test_exact_values_are_those_of_the_definitions(players):
    worth, called = game(players)
    shapley, banzhaf, of_two = by_definition(players, worth)
    kept = coalitions.every(players)
    found = coalitions.exact(kept, called(kept))
    np.testing.assert_allclose(found.shapley.sum(1), shapley, atol=1e-12)
    np.testing.assert_allclose(found.shapley[:, 1], 3 * found.shapley[:, 0], atol=1e-12)
    np.testing.assert_allclose(found.banzhaf.sum(1), banzhaf, atol=1e-12)
    np.testing.assert_allclose(found.shapley_interaction, of_two[0], atol=1e-12)
    np.testing.assert_allclose(found.banzhaf_interaction, of_two[1], atol=1e-12)
    assert found.shapley.sum() == pytest.approx(worth[frozenset(range(players))])


def test_sampled_values_are_near_the_exact_ones_by_their_errors():
    worth, called = game(5)
    exact = coalitions.exact(coalitions.every(5), called(coalitions.every(5)))
    found = coalitions.sampled(called, 5, 400, seed=3)
    assert found.shapley.sum() == pytest.approx(worth[frozenset(range(5))])
    for name in ("shapley", "banzhaf"):
        away = getattr(found, name).sum(1) - getattr(exact, name).sum(1)
        error = getattr(found, f"{name}_error")
        assert (error > 0).all()
        assert (np.abs(away) < 3.5 * error).all()
    pairs = ~np.eye(5, dtype=bool)
    away = (found.banzhaf_interaction - exact.banzhaf_interaction)[pairs]
    assert np.abs(away).max() < 0.5 * np.abs(exact.banzhaf_interaction[pairs]).max()
    again = coalitions.sampled(called, 5, 400, seed=3)
    np.testing.assert_array_equal(again.shapley, found.shapley)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({1: ""}, "A, and (a) cat-house."),
        ({0: "", 1: "", 2: "", 3: "", 4: ""}, ""),
        ({0: ""}, "cat, and (a) cat-house."),
        ({1: "dog", 4: "fish"}, "A dog, and (a) fish."),
        ({}, "A cat, and (a) cat-house."),
    ],
)
def test_what_stands_between_words_stays(words, expected):
    family = SimpleNamespace(own_texts=lambda: ())
    assert rewording.reworded(family, "A cat, and (a) cat-house.", words) == expected


@pytest.mark.parametrize(
    ("word", "prompt", "expected"),
    [("Red", "a Red cat", "green"), ("green", "a green, blue cat", "red"), ("cat", "a cat", None)],
)
def test_the_next_word_of_its_family_stands_for_a_word(word, prompt, expected):
    assert removals.another(word, ["red green blue", "red pink"], prompt) == expected


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (word_removal, {"kind": "replace"}, "families: kind replace needs"),
        (word_removal, {"kind": "erase"}, "kind: erase"),
        (word_removal, {"filler": "zero"}, "filler zero"),
        (word_removal, {"words": "nouns"}, "words: 'nouns'"),
        (word_values, {"draws": 1}, "draws 1"),
        (word_values, {"words": "nouns"}, "words nouns"),
    ],
)
def test_what_is_no_way_to_remove_is_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        method(None, SimpleNamespace(words=()), **options)


def test_a_family_without_a_key_a_token_is_refused_by_name():
    denoiser, steps = replay()
    stored = {"pooled": torch.zeros(2, 8)}
    with pytest.raises(ValueError, match="embedding: UNet does not give its network one key"):
        rewording.with_embeddings(denoiser.family, stored, steps[0].prompt, [(1,)])


def test_a_prompt_that_leaves_no_padding_is_refused_as_filler():
    prompt = " ".join(["cat"] * (tiny.LENGTH - 2))
    denoiser, steps = replay(prompt=prompt)
    with pytest.raises(ValueError, match="filler: the prompt fills its text encoder"):
        word_removal(denoiser, steps[0], kind="embedding", filler="padding")
