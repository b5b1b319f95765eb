"""Attention by layer and head, to the negative prompt and to any text, against it by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stepscope.diffusion.planted import ConstantDenoiser
from stepscope.methods.attention import attention, tokens_of
from stepscope.methods.attention_heads import reading_layers
from stepscope.methods.chosen_layers import chosen
from stepscope.methods.cross_attention import cross_attention
from stepscope.methods.selected_heads import selected_heads
from support.replayed import replay

KINDS = ["tiny_sd1", "tiny_xl", "tiny_pixart", "tiny_sd3"]


def by_hand(denoiser, step, text, name):
    """Probabilities (head, key, y, x) of one cross-attention, from its inputs alone.

    The picture's queries are those of the step's prompt, the keys those of `text`.
    """
    layer, seen = denoiser.family.attention()[name], {}
    hook = layer.to_q.register_forward_hook(lambda module, given, out: seen.update(q=out))
    with torch.no_grad():
        denoiser.conditional(step.latent[None], step)
        hook.remove()
        states = denoiser.pipeline.encode_prompt(text, "cpu", 1, False)[0]
        width = layer.to_q.out_features // layer.heads
        maps = []
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            scores = seen["q"][0, :, part] @ layer.to_k(states)[0, :, part].T / width**0.5
            maps.append((scores.exp() / scores.exp().sum(1, keepdim=True)).T)
    side = int(maps[0].shape[1] ** 0.5)
    return torch.stack(maps).unflatten(-1, (side, side)).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_all_heads_and_layers_is_what_the_trace_holds(kind):
    denoiser, steps = replay(kind)
    maps = attention(denoiser, steps[1:3])
    for found, step in zip(maps, steps[1:3], strict=True):
        np.testing.assert_allclose(found, cross_attention(None, step), atol=2e-6)


@pytest.mark.parametrize("level", ["down_blocks.0", "down_blocks.1"])  # 16 x 16 and 8 x 8
def test_heads_are_the_probabilities_by_hand(level):
    denoiser, steps = replay(prompt="a zebra above the dog")
    found = attention(denoiser, steps[1], heads="all", layers=[level])
    (name,) = chosen(reading_layers(denoiser.family), [level])
    assert found.names == tuple(f"{name}.head{head}" for head in range(len(found.names)))
    expected = by_hand(denoiser, steps[1], steps[1].prompt, name)
    of_zebra = torch.from_numpy(expected[:, list(steps[1].words[1].tokens)].sum(1)[None])
    of_zebra = torch.nn.functional.interpolate(of_zebra, size=(16, 16), mode="bilinear")[0]
    np.testing.assert_allclose(found.maps[1], of_zebra, atol=1e-6)


def test_open_vocabulary_holds_other_keys_against_the_steps_queries_by_hand():
    denoiser, steps = replay()
    asked = {"words": ["a black ball", "boat"], "open_vocabulary": True}
    found = attention(denoiser, steps[1], layers=["down_blocks.0"], **asked)
    assert list(found) == ["a_black_ball", "boat"]
    (name,) = chosen(reading_layers(denoiser.family), ["down_blocks.0"])
    for text, tokens, map_ in zip(asked["words"], ([1, 2, 3], [1]), found.values(), strict=True):
        expected = by_hand(denoiser, steps[1], text, name)[:, tokens].sum(1).mean(0)
        np.testing.assert_allclose(map_, expected, atol=1e-6)
    with pytest.raises(ValueError, match="text and picture attend jointly"):
        attention(*(lambda made: (made[0], made[1][1]))(replay("tiny_sd3")), **asked)


def test_words_of_the_negative_prompt_are_read_by_the_unconditional_half():
    denoiser, steps = replay(negative_prompt="a zebra dog")
    found = attention(denoiser, steps[1], of="negative_prompt", layers=["down_blocks.0"])
    assert list(found) == ["a", "zebra", "dog"]
    (name,) = chosen(reading_layers(denoiser.family), ["down_blocks.0"])
    # the first layer's queries have not met a text yet: those of both halves are equal
    expected = by_hand(denoiser, steps[1], "a zebra dog", name)[:, 2:7].sum(1).mean(0)
    np.testing.assert_allclose(found["zebra"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"words": ["boat"]}, "'boat' is not in 'a red cat above the dog', whose words are a, red"),
        ({"words": ["cat red"]}, "'cat red' is not in"),  # a phrase is in its order
        ({"layers": ["up_blocks.7"]}, "'up_blocks.7' is none of down_blocks.0.attentions"),
        ({"of": "negative_prompt"}, "the negative prompt '' has no words"),
        ({"open_vocabulary": True}, "name some"),
    ],
)
def test_what_a_step_does_not_have_is_refused_with_what_it_has(asked, says):
    denoiser, steps = replay()
    with pytest.raises(ValueError, match=says):
        attention(denoiser, steps[1], **asked)


def test_phrases_are_asked_for_as_one_and_repeated_words_together():
    _, steps = replay(prompt="a cat above a cat")
    said = steps[0].words
    assert tokens_of(said, ["A cat", "above"], "") == [[1, 2, 4, 5], [3]]


def test_a_model_that_looks_at_no_text_attends_to_no_word():
    denoiser, steps = replay()
    assert not attention(ConstantDenoiser(denoiser), steps[1]).any()


def test_selected_heads_are_the_mean_of_the_best_share_for_a_words_role():
    denoiser, steps = replay()
    every = attention(denoiser, steps[1], heads="all")
    words = tuple(
        replace(word, role="subject" if word.text == "cat" else "") for word in steps[1].words
    )
    heads = {"": every.names, "subject": every.names[::-1]}
    step = replace(steps[1], words=words, heads=heads)
    found = selected_heads(denoiser, step, learnt_from="heads", share=2 / len(every.names))
    for word, map_ in zip(words, found, strict=True):
        best = [-1, -2] if word.role else [0, 1]
        np.testing.assert_allclose(map_, every.maps[word.index, best].mean(0), atol=1e-6)
    with pytest.raises(ValueError, match="in any other prompt of the batch than tiny"):
        selected_heads(denoiser, steps[1], learnt_from="heads")
