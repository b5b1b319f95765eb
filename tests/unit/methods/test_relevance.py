"""Cross-attention of words, and relevance by the bi-modal rules."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch.utils._python_dispatch import TorchDispatchMode

from stepscope.diffusion.planted import ConstantDenoiser, CopyingDenoiser, GatedDenoiser
from stepscope.methods import attention_gradients, baselines, relevance_rules
from stepscope.methods.attention_gradients import KeepAttention, image_attention
from stepscope.methods.cross_attention import cross_attention
from stepscope.methods.relevance import relevance
from stepscope.methods.relevance_rules import (
    Call,
    Relevance,
    Text,
    along,
    normalised,
    text_relevance,
    through_joint,
)
from stepscope.models.families.architecture import Passage
from support.replayed import auroc, corner, replay

KINDS = ["tiny_sd1", "tiny_sd2", "tiny_xl", "tiny_pixart", "tiny_sd3"]


def denoiser_reads(denoiser):
    """Attention modules with keys of the prompt, by the widths of their projections."""
    family = denoiser.family
    return [
        module
        for module in family.attention().values()
        if (
            getattr(module, "add_k_proj", None) is not None
            if family.joint
            else module.is_cross_attention
        )
    ]


def index_of(step, text):
    return next(word.index for word in step.words if word.text == text)


def test_a_words_tokens_are_summed_and_resolutions_averaged():
    denoiser, steps = replay(prompt="a zebra above the dog")  # zebra: five tokens
    step = steps[1]
    zebra = step.words[1]
    assert len(zebra.tokens) == 5
    maps = cross_attention(denoiser, step)
    fine, coarse = step.attention[16, 16], step.attention[8, 8]
    coarse = torch.nn.functional.interpolate(coarse[None], size=(16, 16), mode="bilinear")[0]
    expected = ((fine + coarse) / 2)[list(zebra.tokens)].sum(0)
    np.testing.assert_allclose(maps[1], expected, atol=1e-6)
    assert maps.min() >= 0
    assert maps.sum(0).max() <= 1 + 1e-5


def test_a_planted_attention_is_found_and_an_even_one_is_flat():
    denoiser, steps = replay()
    region = corner()
    cat = steps[1].words[index_of(steps[1], "cat")]
    planted = {size: torch.full_like(maps, 0.1) for size, maps in steps[1].attention.items()}
    assert (
        np.ptp(cross_attention(denoiser, replace(steps[1], attention=planted)), axis=(1, 2)).max()
        < 1e-6
    )
    planted[16, 16][cat.tokens[0]] += 0.5 * region
    maps = cross_attention(denoiser, replace(steps[1], attention=planted))
    assert auroc(maps[cat.index], region) == 1


CPU = torch.device("cpu")


def texts(mixed):
    """A text of tokens that are a word each."""
    return Text(mixed, torch.eye(len(mixed)))


def given_by_all(state):
    """(R_ii - I)^T, a column for each image token."""
    return state.given(torch.eye(len(state.total)))


def test_rules_by_hand():
    state = Relevance.start((1, 2), 2, CPU)
    words = text_relevance([torch.tensor([[0.0, 0.0], [0.5, 0.0]])], 2)
    first = torch.tensor([[0.2, 0.4], [0.0, 0.6]])
    state = state.cross_attention(first, texts(words))
    # N(R_ii) = I; N(R_qq) = [[1, 0], [1, 1]]: the second token passes on to the first
    torch.testing.assert_close(state.text, torch.tensor([[0.6, 0.4], [0.6, 0.6]]))
    state = state.self_attention(torch.tensor([[0.0, 0.5], [0.0, 0.0]]))
    torch.testing.assert_close(state.text, torch.tensor([[0.9, 0.7], [0.6, 0.6]]))
    torch.testing.assert_close(given_by_all(state).T, torch.tensor([[0.0, 0.5], [0.0, 0.0]]))
    state = state.cross_attention(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), texts(torch.zeros(2, 2)))
    # N(R_ii)^T = [[1, 0], [1, 1]]
    torch.testing.assert_close(state.text, torch.tensor([[1.9, 0.7], [1.6, 0.6]]))


def test_products_with_columns_are_those_of_the_whole_square():
    """Chefer's rules with R_ii as a matrix, on a toy with a skip connection at half the size."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.rand(*shape, generator=generator)

    text = Text(drawn(3, 3), (drawn(3, 2) > 0.5).float())
    fine, coarse = (4, 6), (2, 3)
    calls = [drawn(24, 24) / 24, drawn(6, 6) / 6, drawn(6, 3), drawn(24, 24) / 24, drawn(24, 3)]
    one, low, read_low, high, read = calls
    state = Relevance.start(fine, 2, CPU).self_attention(one)
    skip = state
    state = state.resized(coarse).self_attention(low).cross_attention(read_low, text)
    state = state.resized(fine).mean(skip).self_attention(high).cross_attention(read, text)

    def resized(square, old, new):  # rows averaged or interpolated, columns summed or shared out
        mode = "area" if new < old else "bilinear"

        def rows(matrix):
            grid = matrix.T.reshape(1, -1, *old)
            return torch.nn.functional.interpolate(grid, new, mode=mode).flatten(2)[0].T

        return rows(rows(square).T).T * (old[0] * old[1]) / (new[0] * new[1])

    square = one
    skipped = square
    square = resized(square, fine, coarse)
    square = square + low + low @ square
    found = (read_low + read_low @ normalised(text.mixed)) @ text.words
    found = found + normalised(square).T @ found
    square = (resized(square, coarse, fine) + skipped) / 2
    grid = found.T.reshape(1, -1, *coarse)
    grown = torch.nn.functional.interpolate(grid, fine, mode="bilinear").flatten(2)[0].T
    square = square + high + high @ square
    expected = grown / 2 + high @ grown / 2
    last = (read + read @ normalised(text.mixed)) @ text.words
    expected = expected + last + normalised(square).T @ last
    torch.testing.assert_close(given_by_all(state).T, square)
    torch.testing.assert_close(state.total, square.sum(1))
    torch.testing.assert_close(state.text, expected)


def test_normalising_the_identity_changes_nothing():
    assert (normalised(torch.zeros(3, 3)) == 0).all()
    rows = normalised(torch.tensor([[1.0, 3.0], [0.0, 0.0]]))
    torch.testing.assert_close(rows, torch.tensor([[0.25, 0.75], [0.0, 0.0]]))


@pytest.mark.parametrize("size", [(2, 3), (8, 12), (3, 4)])  # the last cuts cells in two
def test_resizing_keeps_places_and_totals(size):
    weights = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    text = torch.zeros(4, 6, 3)
    text[:2, 4:, 1] = 1  # the upper right corner
    state = Relevance.start((4, 6), 3, CPU).self_attention(weights)
    state = replace(state, text=text.reshape(24, 3))
    other = state.resized(size)
    corner_ = other.text.reshape(*size, 3)[: size[0] // 2, -size[1] // 3 :, 1]
    assert corner_.mean() > 0.6
    assert other.text[:, [0, 2]].abs().max() == 0
    torch.testing.assert_close(given_by_all(other).sum(0), other.total)
    torch.testing.assert_close(other.total.mean(), state.total.mean(), rtol=0.02, atol=0)
    assert not given_by_all(Relevance.start((4, 6), 3, CPU).resized(size)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_keeping_attention_does_not_change_the_output(kind):
    denoiser, steps = replay(kind)
    latents = steps[1].latent[None].requires_grad_()
    expected = denoiser.outputs(latents, steps[1])
    before = denoiser.network.attn_processors
    with image_attention(denoiser.family) as record:
        found = denoiser.outputs(latents, steps[1])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert denoiser.network.attn_processors == before
    attentions = [m for m in denoiser.network.modules() if isinstance(m, Attention)]
    assert len(record.calls) == len(attentions)
    assert [call.reads_text for call in record.calls].count(True) == len(denoiser_reads(denoiser))
    for call in record.calls:
        assert call.reads_text == (call.module in denoiser_reads(denoiser))
        found = call.probabilities()
        torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:-1]))
        torch.testing.assert_close(found @ call.value, call.output, atol=1e-5, rtol=1e-4)


def test_cross_attention_is_recognised_where_a_block_has_nothing_else():
    attention = Attention(8, cross_attention_dim=6, heads=2, dim_head=4).eval()
    x = torch.randn(1, 5, 8, requires_grad=True)
    source = torch.randn(1, 3, 6)
    calls = []
    attention.set_processor(AttnProcessor())
    expected = attention(x, encoder_hidden_states=source)
    attention.set_processor(KeepAttention(calls, joint=False))
    torch.testing.assert_close(attention(x, encoder_hidden_states=source), expected)
    assert [call.reads_text for call in calls] == [True]


@pytest.mark.parametrize("scores", [1, 40, 2**24])  # one query at a time, some, all
def test_weights_are_gradients_by_probabilities_times_these(scores, monkeypatch):
    monkeypatch.setattr(attention_gradients, "SCORES", scores)
    attention = Attention(8, cross_attention_dim=6, heads=2, dim_head=4).eval()
    calls = []
    attention.set_processor(KeepAttention(calls, joint=False))
    x, source = torch.randn(2, 5, 8, requires_grad=True), torch.randn(2, 3, 6)
    y = attention(x, encoder_hidden_states=source).pow(2).sum()
    (call,) = calls
    (gradient,) = torch.autograd.grad(y, [call.output])
    a = call.probabilities().detach().requires_grad_()
    output = attention.to_out[0]((a @ call.value.detach()).transpose(1, 2).flatten(2))
    (by_a,) = torch.autograd.grad(output.pow(2).sum(), [a])
    expected = (by_a * a).clamp(min=0).mean(1)
    torch.testing.assert_close(call.weights(gradient), expected.detach())
    assert not call.weights(None).any()


class Largest(TorchDispatchMode):
    """Keeps the largest number of elements that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, given=(), named=None):
        found = function(*given, **(named or {}))
        for tensor in found if isinstance(found, tuple | list) else [found]:
            if torch.is_tensor(tensor):
                self.elements = max(self.elements, tensor.numel())
        return found


def test_no_square_of_image_tokens_is_made_for_each_head(monkeypatch):
    """The weights of a layer are the only squares, whatever the number of heads."""
    denoiser, steps = replay()
    tokens = 16 * 16
    monkeypatch.setattr(attention_gradients, "SCORES", 1000)
    with Largest() as largest:
        relevance(denoiser, steps[1])
    heads = min(call.heads for call in denoiser.family.attention().values())
    assert heads > 1
    assert largest.elements <= tokens**2


@pytest.mark.parametrize("kind", KINDS)
def test_relevance_is_a_map_a_word_and_repeatable(kind):
    denoiser, steps = replay(kind)
    first, second = (relevance(denoiser, steps[1]) for _ in range(2))
    assert first.shape == (len(steps[1].words), 16, 16)
    assert first.min() >= 0
    assert (first.sum((1, 2)) > 0).all()
    np.testing.assert_array_equal(first, second)


def test_relevance_visits_attention_in_forward_order(monkeypatch):
    denoiser, steps = replay()
    seen = []
    original = relevance_rules.along

    def along(passages, calls, *others):
        seen.extend(call.module for call in calls)
        return original(passages, calls, *others)

    monkeypatch.setattr("stepscope.methods.relevance.along", along)
    relevance(denoiser, steps[1])
    names = {module: name for name, module in denoiser.network.named_modules()}
    blocks = [names[module].split(".")[0] for module in seen]
    assert blocks == sorted(blocks, key=["down_blocks", "mid_block", "up_blocks"].index)


def test_repeated_words_have_their_own_maps():
    denoiser, steps = replay(prompt="a cat above a cat")
    maps = relevance(denoiser, steps[1])
    assert len(maps) == 5
    assert not np.allclose(maps[1], maps[4])


def test_relevance_sees_when_and_where_a_word_acts():
    denoiser, steps = replay(prompt="cat")
    region = corner()
    gated = GatedDenoiser(denoiser, "cat", steps=(1, 2), region=region)
    map_ = relevance(gated, steps[1])[0]
    found = auroc(map_, region)
    assert found > 0.6
    assert found > auroc(baselines.random(0, "tiny", 0, (16, 16)), region)
    assert relevance(gated, steps[2]).max() == 0


def test_joint_rules_by_hand():
    """One image token and one text token in one softmax, and a call among image tokens alone."""
    words = texts(torch.tensor([[0.5]]))
    joint = Call(None, True, torch.tensor([[0.1, 0.4], [0.2, 0.3]]))
    state = through_joint([joint], (1, 1), words)
    torch.testing.assert_close(state.text, torch.tensor([[0.6]]))  # 0.4 x 1.5
    alone = Call(None, False, torch.tensor([[1.0]]))
    again = through_joint([joint, alone], (1, 1), words)
    torch.testing.assert_close(again.text, torch.tensor([[1.2]]))


def test_attention_outside_the_passages_is_refused():
    call = Call(torch.nn.Identity(), True, torch.ones(1, 2))
    with pytest.raises(ValueError, match="attention outside its blocks"):
        along([Passage()], [call], {}, (1, 1), texts(torch.zeros(2, 2)))


def test_rules_along_blocks_are_the_rules_of_each_call():
    words = texts(torch.zeros(2, 2))
    weights = torch.tensor([[0.2, 0.4], [0.0, 0.6]])
    mixing = torch.tensor([[0.0, 0.5], [0.0, 0.0]])
    first, second = torch.nn.Identity(), torch.nn.Identity()
    calls = [Call(first, True, weights), Call(second, False, mixing)]
    state = along([Passage(attention=frozenset([first, second]))], calls, {}, (1, 2), words)
    torch.testing.assert_close(state.text, torch.tensor([[0.2, 0.7], [0.0, 0.6]]))


@pytest.mark.parametrize("planted", [ConstantDenoiser, CopyingDenoiser])
def test_relevance_of_a_model_without_text_is_nothing(planted):
    denoiser, steps = replay()
    assert relevance(planted(denoiser), steps[1]).max() == 0
