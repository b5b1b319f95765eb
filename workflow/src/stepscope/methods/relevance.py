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
        weigh = weighted(y, [*of_texts, *(a for _, _, a in record.calls)])
    lengths = [text.length for text in family.own_texts()]
    words = block_diagonal(
        [
            mixed([[weigh(a) for a in layers] for layers in of_text], count)
            for of_text, count in zip(texts, lengths, strict=True)
        ],
        len(steps),
    )
    calls = [Call(module, reads, weigh(a)) for module, reads, a in record.calls]
    height, width = latents.shape[-2:]
    size = (height, width)
    state = through(family, calls, record.sizes, size, words.to(latents.device)).resized(size)
    return [by_word(family, text, size, step) for text, step in zip(state.text, steps, strict=True)]


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


def weighted(y: Tensor, attention: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of an attention (B, H, n, m): the mean over heads of max(dY/dA x A, 0)."""
    gradients = torch.autograd.grad(y, attention, allow_unused=True) if y.requires_grad else ()
    by_id = {id(a): gradient for a, gradient in zip(attention, gradients, strict=False)}

    def weigh(a: Tensor) -> Tensor:
        gradient = by_id.get(id(a))
        if gradient is None:  # the target does not depend on this attention
            return a.new_zeros(len(a), *a.shape[-2:], dtype=torch.float32)
        return (gradient.float() * a.detach().float()).clamp(min=0).mean(1)

    return weigh


def through(
    family: Family,
    calls: list[Call],
    sizes: Mapping[nn.Module, tuple[int, int]],
    size: tuple[int, int],
    words: Tensor,
) -> Relevance:
    """Relevance after the last block, from the attention calls in forward order.

    `sizes` are those of the feature maps after resnets and samplers, `size` the latent's; `words`
    (B, T, T) is R_qq - I of the text encoders.
    """
    start = family.token_grid(size)
    if family.joint:
        return through_joint(calls, start, words)
    return along(family.passages(), calls, sizes, start, words)


def by_word(family: Family, text: Tensor, size: tuple[int, int], step: Step) -> np.ndarray:
    """Maps (word, h, w) from the relevance (h w, T) of each text key to a grid's image tokens."""
    rows = torch.tensor(family.reading(step.prompt).rows, device=text.device)
    maps = [text[:, torch.isin(rows, rows.new_tensor(word.tokens))].sum(1) for word in step.words]
    return torch.stack(maps).reshape(-1, *size).cpu().numpy()
