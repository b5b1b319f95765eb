"""The heads' game: a head that is known to bring the word, ends that are known, orders by seed."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.planted import ConstantDenoiser
from stepscope.methods import removals
from stepscope.methods.attention import attention
from stepscope.methods.attention_gradients import Attended
from stepscope.methods.attention_heads import reading_layers
from stepscope.methods.head_relevance import head_relevance
from stepscope.methods.method import HEAD
from stepscope.methods.weakened_heads import Weakening, head_names
from stepscope.scores import areas, head_games
from stepscope.table_columns import KEYS
from support import tiny
from support.replayed import SAMPLING, SCHEDULER, replay

GAME = {"roles": None, "moves": 7, "draws": 2, "seed": 0}
HEADS = 14  # of the tiny model: 3 layers at 16 x 16, 4 at 8 x 8, of two heads


@cache
def only(chosen):
    """A tiny model in which one head alone brings the text to the picture."""
    pipeline = tiny.tiny_sd1()
    denoiser = Denoiser(pipeline, sampling=SAMPLING, scheduler=SCHEDULER, guidance=4.0)
    number = 0
    for layer in reading_layers(denoiser.family).values():
        columns = layer.to_out[0].weight.data.chunk(layer.heads, 1)
        for column in columns:
            column *= number == chosen
            number += 1
    return denoiser


def played(number=1):
    """A step of which the whole prompt and one word are played."""
    step = replay()[1][number]
    said = (replace(one, role="subject" if one.text == "cat" else "") for one in step.words)
    return replace(step, words=tuple(said))


def without(denoiser, step, *words):
    """What a step's output loses without words, head by head."""
    (other,) = removals.without_words(denoiser, [(step, words or step.words)])
    return Weakening(denoiser, step, other)


def curves(rows, word=""):
    """Shares lost by method, of one word or the whole prompt."""
    frame = pd.DataFrame(rows)
    own = frame[frame["word"] == word].sort_values("weakened", kind="stable")
    return {method: of["lost"].to_numpy() for method, of in own.groupby("method")}


@pytest.mark.parametrize("chosen", [1, 6, 13])
def test_the_head_that_brings_the_text_is_found_first_and_the_area_is_the_known_one(chosen):
    denoiser, step = only(chosen), played()
    taken = head_relevance(denoiser, step)
    assert taken.shape == (HEADS, len(step.words))
    assert (taken.argmax(0) == chosen).all()
    by_word = {
        "relevance": dict(enumerate(taken.T.numpy())),
        "wrong": {word.index: np.arange(HEADS) != chosen for word in step.words},
    }
    rows = list(head_games.play(denoiser, step, by_word, **GAME))
    shares = np.linspace(0, 1, GAME["moves"] + 1)
    for word in ("", "cat"):
        found = curves(rows, word)
        assert found.keys() == {"relevance", "wrong", "alone", "random"}
        for method in ("relevance", "alone"):
            np.testing.assert_allclose(found[method], shares > 0, atol=1e-4)
            # a cubic from 0 to 1 that ends level, and 1 behind it
            expected = pytest.approx(1 - 0.375 / GAME["moves"], abs=1e-4)
            assert areas.auc_of_few(found[method]) == expected
        np.testing.assert_allclose(found["wrong"], shares == 1, atol=1e-4)
        # two orders, one the other's reverse: the head is weakened in the one or in the other
        np.testing.assert_allclose(found["random"] + found["random"][::-1], 1, atol=1e-4)


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_xl", "tiny_pixart", "tiny_sd3"])
def test_with_all_heads_weakened_a_step_is_that_of_the_other_text(kind):
    denoiser, (_, step, *_) = replay(kind)
    weakening = without(denoiser, step, step.words[2])
    weak = torch.zeros(3, weakening.heads, dtype=torch.bool)
    weak[1], weak[2, 1] = True, True
    none, every, one = weakening.outputs(weak)
    torch.testing.assert_close(none, weakening.own, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(every, weakening.other, atol=1e-5, rtol=1e-4)
    lost = weakening.lost(torch.stack([none, every, one]))
    np.testing.assert_allclose(lost[:2], [[0, 0], [1, 1]], atol=2e-2)
    assert lost[2, 1] > 1e-4  # and a single one does something of its own
    denoiser.fitting_calls.limit = 2  # as where memory is short
    torch.testing.assert_close(weakening.outputs(weak)[2], one, atol=1e-5, rtol=1e-4)
    denoiser.fitting_calls.limit = None


def test_a_weakened_head_reads_the_other_text_by_hand():
    denoiser, (_, step, *_) = replay()
    weakening = without(denoiser, step, step.words[2])
    name, layer = next(iter(reading_layers(denoiser.family).items()))
    weak = torch.zeros(1, HEADS, dtype=torch.bool)
    weak[0, 1] = True  # of the first layer's two heads
    (other,) = removals.without_words(denoiser, [(step, (step.words[2],))])
    keys = layer.to_k.out_features // layer.heads

    def once(module):
        def hook(called, inputs, output):
            weights = torch.nn.functional.linear(other["prompt_embeds"][1:], module.weight)
            return torch.cat([output[..., :keys], weights[..., keys:]], -1)

        return module.register_forward_hook(hook)

    hooks = [once(layer.to_k), once(layer.to_v)]
    with torch.no_grad():
        expected = denoiser.conditional(step.latent[None], step)
    for hook in hooks:
        hook.remove()
    assert head_names(denoiser.family)[1] == f"{name}{HEAD}1"
    torch.testing.assert_close(weakening.outputs(weak), expected, atol=1e-5, rtol=1e-4)


def test_what_ignores_the_text_loses_nothing():
    denoiser, step = replay()[0], played()
    blind = ConstantDenoiser(denoiser)
    assert not head_relevance(blind, step).any()
    rows = pd.DataFrame(head_games.play(blind, step, {}, **GAME))
    assert not rows[["lost", "changed"]].any(axis=None)
    assert set(rows["method"]) == {"random", "alone"}


def test_games_are_the_same_by_seed_and_their_random_orders_are_not_by_another():
    denoiser, step = replay()[0], played()
    by_word = {"last": {word.index: np.arange(HEADS) for word in step.words}}
    first, again, other = (
        pd.DataFrame(head_games.play(denoiser, step, by_word, **GAME | {"seed": seed}))
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    same = first["lost"] == other["lost"]
    assert set(first["method"][~same]) == {"random"}
    assert (set(KEYS) | {"word", "method"}) - set(first) == {"model", "dataset", "sampling"}


def test_what_heads_take_is_what_relevance_averages_over_them():
    query, key, value, gradient = torch.randn(4, 2, 3, 5, 4, generator=torch.manual_seed(0))
    layer = SimpleNamespace(scale=0.5)
    call = Attended(layer, True, query, key[:, :, :4], value[:, :, :4], None, query)
    taken, weights = call.taken(gradient), call.weights(gradient)
    assert taken.shape == (2, 3, 4)
    torch.testing.assert_close(taken.mean(1), weights.sum(1))
    scores = query[1, 2] @ key[1, 2, :4].T * 0.5
    expected = (gradient[1, 2] @ value[1, 2, :4].T * scores.softmax(1)).clamp(min=0).sum(0)
    torch.testing.assert_close(taken[1, 2], expected)
    assert not call.taken(None).any()


def test_scores_of_heads_are_those_of_the_step_the_sample_and_the_word():
    denoiser, (_, step, *_) = replay()
    names = head_names(denoiser.family)
    parts = [name.rpartition(HEAD) for name in names]
    rows = [
        {
            **{"prompt_id": prompt_id, "seed": 0, "step": number, "method": "heads"},
            **{"word_index": word, "layer": layer, "head": head, "role": "subject"},
            "average_precision": value + 0.01 * place if number == 2 else 0.5,
        }
        for prompt_id, value in (("tiny", 0.1), ("other", 0.7))
        for number in (1, 2)
        for word in (1, 2)
        for place, (layer, _, head) in enumerate(parts[:-2])  # the last layer is left out
    ]
    found = head_games.grounding_scores(pd.DataFrame(rows), step, names)["heads"]
    expected = [*(0.1 + 0.01 * np.arange(HEADS - 2)), np.nan, np.nan]
    assert found.keys() == {1, 2}
    np.testing.assert_allclose(found[2], expected)
    scores = head_games.scores_of({"heads": found, "none": {}}, step.words)
    assert scores.keys() == {"heads"}
    np.testing.assert_allclose(scores["heads"], np.nan_to_num(expected, nan=-np.inf))
    methods, ranks = head_games.orders_of(scores, HEADS, 3, step, seed=0)
    assert methods == [*["random"] * 3, "heads"]
    np.testing.assert_array_equal(ranks[-1][: HEADS - 2], np.arange(HEADS - 2)[::-1])
    assert set(ranks[-1][-2:]) == {HEADS - 2, HEADS - 1}
    np.testing.assert_array_equal(ranks[0] + ranks[1], HEADS - 1)
    every = attention(denoiser, step, heads="all")
    maps = {"heads": tidy(every, step)}
    mass = head_games.mass_scores(maps, 0, step, names)["heads_mass"]
    np.testing.assert_allclose(mass[1], [every.maps[1][every.names.index(n)].mean() for n in names])


def tidy(layers, step):
    """Maps by head as a store has them, of the step alone."""
    values = np.full((1, 4, *layers.maps.shape), np.nan, np.float32)
    values[0, step.number - 1] = layers.maps
    dims = ("sample", "step", "word", "layer", "y", "x")
    return xr.DataArray(values, {"layer": list(layers.names)}, dims)


@pytest.mark.parametrize(
    ("heads", "moves", "expected"),
    [
        (14, 7, [0, 2, 4, 6, 8, 10, 12, 14]),
        (26, 8, [0, 3, 7, 10, 13, 16, 20, 23, 26]),
        (2, 8, [0, 1, 2]),
    ],
)
def test_every_move_weakens_an_equal_share_of_the_heads(heads, moves, expected):
    assert head_games.weakened_counts(heads, moves).tolist() == expected
    assert head_games.rows_of(heads, moves, 2) == 2 + 6 * (len(expected) - 2) + heads
