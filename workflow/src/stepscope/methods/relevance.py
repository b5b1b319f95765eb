"""Relevance of words by bi-modal rules over attention."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.step import Step
from stepscope.methods.attention_gradients import image_attention, text_attention
from stepscope.methods.differences import latents_of, unconditional
from stepscope.methods.gradients import frozen
from stepscope.methods.method import method
from stepscope.methods.relevance_rules import (
    Call,
    Relevance,
    Text,
    along,
    text_relevance,
    through_joint,
)
from stepscope.models.families.base import Family


@method(
    calls=lambda words, p: 2,
    target="what the prompt adds at this step",
    features="attention probabilities of the network and of the text encoders, times gradients",
    held_fixed="time step, latent; e_u and the difference itself; convolutions as identity",
    halves=True,
    together=True,
)
def relevance(denoiser: Denoiser, steps: Sequence[Step]) -> list[np.ndarray]:
    """Maps (word, h, w), >= 0: relevance of a word's tokens to each image token, unnormalised.

    The bi-modal rules of Chefer et al. (ICCV 2021), or the unimodal one where image and text attend
    jointly, over the conditional half in forward order, for the target <stopgrad(e_c - e_u), e_c>.
    The sum over pixels is a word's score at the step, and scores compare between steps. A word is
    the sum of its tokens.
    """
    family = denoiser.family
    encoders = family.encoders_of()
    with ExitStack() as stack:
        every = [encoder for of_text in encoders for encoder in of_text]
        stack.enter_context(frozen(denoiser.network, *every))
        texts = [
            [stack.enter_context(text_attention(encoder)) for encoder in of_text]
            for of_text in encoders
        ]
        record = stack.enter_context(image_attention(family))
        with torch.no_grad():
            e_u = unconditional(denoiser, steps)
        stack.enter_context(torch.enable_grad())
        conditioning = encoded(denoiser, steps)
        latents = latents_of(denoiser, steps).requires_grad_()
        e_c = denoiser.conditional(latents, steps, conditioning).float()
        y = ((e_c.detach() - e_u) * e_c).sum()  # of which each row has its own gradient
        of_texts = [a for of_text in texts for layers in of_text for a in layers]
        gradients = gradients_of(y, [*of_texts, *(call.output for call in record.calls)])
    weigh = weighted(gradients)
    lengths = [text.length for text in family.own_texts()]
    words = block_diagonal(
        [
            mixed([[weigh(a) for a in layers] for layers in of_text], count)
            for of_text, count in zip(texts, lengths, strict=True)
        ],
        len(steps),
    )
    calls = []
    while record.calls:  # one by one, so that each lets its queries, keys and values go
        call = record.calls.pop(0)
        weights = call.weights(gradients.get(id(call.output)))
        calls.append(Call(call.module, call.reads_text, weights))
    height, width = latents.shape[-2:]
    size = (height, width)
    text = Text(*(one.to(latents.device) for one in (words, selection(family, steps))))
    maps = through(family, calls, record.sizes, size, text).resized(size).text.mT
    return [
        of_step[: len(step.words)].reshape(-1, *size).cpu().numpy()
        for of_step, step in zip(maps, steps, strict=True)
    ]


def mixed(encoders: list[list[Tensor]], tokens: int) -> Tensor:
    """R_qq - I (step, T, T) of one text, from the layers of its encoders.

    The features of both encoders form one token, so theirs are averaged; none mixes nothing (T, T).
    """
    if not encoders:
        return torch.zeros(tokens, tokens)
    return torch.stack([text_relevance(weights, tokens) for weights in encoders]).mean(0)


def block_diagonal(blocks: list[Tensor], steps: int) -> Tensor:
    """(step, T, T) with blocks (step, T_i, T_i), or one for all steps (T_i, T_i), one by one."""
    by_step = zip(*(block.expand(steps, *block.shape[-2:]) for block in blocks), strict=True)
    return torch.stack([torch.block_diag(*of_step) for of_step in by_step])


def encoded(denoiser: Denoiser, steps: Sequence[Step]) -> dict[str, Tensor]:
    """Conditioning (step, 2, ...) with every prompt encoded anew, so that gradients reach encoders.

    A prompt is encoded for each of its steps, whose gradients are apart.
    """
    # all words stay; a planted denoiser adds what it needs
    stored = stacked(denoiser.without_each([(step, ()) for step in steps]))
    return stored | {
        name: torch.stack([stored[name][:, 0].to(new), new], 1)
        for name, new in denoiser.encode_each([(step.prompt, ()) for step in steps]).items()
    }


def gradients_of(y: Tensor, tensors: list[Tensor]) -> dict[int, Tensor]:
    """DY by each tensor that Y depends on, by the tensor's id."""
    found = torch.autograd.grad(y, tensors, allow_unused=True) if y.requires_grad else ()
    pairs = zip(tensors, found, strict=False)
    return {id(tensor): gradient for tensor, gradient in pairs if gradient is not None}


def weighted(gradients: Mapping[int, Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of an attention (B, H, n, m): the mean over heads of max(dY/dA x A, 0)."""

    def weigh(a: Tensor) -> Tensor:
        gradient = gradients.get(id(a))
        if gradient is None:  # the target does not depend on this attention
            return a.new_zeros(len(a), *a.shape[-2:], dtype=torch.float32)
        return (gradient.float() * a.detach().float()).clamp(min=0).mean(1)

    return weigh


def through(
    family: Family,
    calls: list[Call],
    sizes: Mapping[nn.Module, tuple[int, int]],
    size: tuple[int, int],
    text: Text,
) -> Relevance:
    """Relevance after the last block, from the attention calls in forward order.

    `sizes` are those of the feature maps after resnets and samplers, `size` the latent's.
    """
    start = family.token_grid(size)
    if family.joint:
        return through_joint(calls, start, text)
    return along(family.passages(), calls, sizes, start, text)


def selection(family: Family, steps: Sequence[Step]) -> Tensor:
    """Matrix (step, T, word) that adds up the text keys of each word, 0 beyond the last one."""
    readings = [torch.tensor(family.reading(step.prompt).rows) for step in steps]
    most = max(len(step.words) for step in steps)
    chosen = torch.zeros(len(steps), len(readings[0]), most)
    for of_step, rows, step in zip(chosen, readings, steps, strict=True):
        for word in step.words:
            of_step[:, word.index] = torch.isin(rows, rows.new_tensor(word.tokens)).float()
    return chosen
