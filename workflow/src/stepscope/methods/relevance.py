"""Relevance of words by bi-modal rules over attention."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.attention_gradients import image_attention, text_attention
from stepscope.methods.differences import added_by_prompt
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
    calls=lambda words, p: 2.5,
    target="what the prompt adds at this step",
    features="attention probabilities of the network and of the text encoders, times gradients",
    held_fixed="time step, latent; e_u and the difference itself; convolutions as identity",
    halves=True,
)
def relevance(denoiser: Denoiser, step: Step) -> np.ndarray:
    """Maps (word, h, w), >= 0: relevance of a word's tokens to each image token, unnormalised.

    The bi-modal rules of Chefer et al. (ICCV 2021), or the unimodal one where image and text attend
    jointly, over the conditional half in forward order, for the target <stopgrad(e_c - e_u), e_c>.
    The sum over pixels is a word's score at the step, and scores compare between steps. A word is
    the sum of its tokens.
    """
    weights = added_by_prompt(denoiser, step).float()
    family = denoiser.family
    encoders = family.encoders_of()
    with ExitStack() as stack:
        every = [encoder for of_text in encoders for encoder in of_text]
        stack.enter_context(frozen(denoiser.network, *every))
        stack.enter_context(torch.enable_grad())
        texts = [
            [stack.enter_context(text_attention(encoder)) for encoder in of_text]
            for of_text in encoders
        ]
        record = stack.enter_context(image_attention(family))
        conditioning = encoded(denoiser, step)
        latents = step.latent[None].to(denoiser.device).requires_grad_()
        output = denoiser.conditional(latents, step, conditioning)[0].float()
        y = (weights * output).sum()
        of_texts = [a for of_text in texts for layers in of_text for a in layers]
        weigh = weighted(y, [*of_texts, *(a for _, _, a in record.calls)])
    lengths = [text.length for text in family.own_texts()]
    words = torch.block_diag(
        *(
            mixed([[weigh(a) for a in layers] for layers in of_text], count)
            for of_text, count in zip(texts, lengths, strict=True)
        )
    )
    calls = [Call(module, reads, weigh(a)) for module, reads, a in record.calls]
    height, width = step.latent.shape[-2:]
    state = through(family, calls, record.sizes, (height, width), words.to(latents.device))
    return by_word(family, state, step)


def mixed(encoders: list[list[Tensor]], tokens: int) -> Tensor:
    """R_qq - I (T, T) of one text, from the layers of its encoders.

    The features of both encoders form one token, so theirs are averaged; none mixes nothing.
    """
    if not encoders:
        return torch.zeros(tokens, tokens)
    return torch.stack([text_relevance(weights, tokens) for weights in encoders]).mean(0)


def encoded(denoiser: Denoiser, step: Step) -> dict[str, Tensor]:
    """The step's conditioning with the prompt encoded anew, so that gradients reach the encoder."""
    stored = denoiser.without(step)  # all words stay; a planted denoiser adds what it needs
    return stored | {
        name: torch.stack([stored[name][0].to(new), new])
        for name, new in denoiser.encode(step.prompt).items()
    }


def weighted(y: Tensor, attention: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of an attention (1, H, n, m): the mean over heads of max(dY/dA x A, 0), (n, m)."""
    gradients = torch.autograd.grad(y, attention, allow_unused=True) if y.requires_grad else ()
    by_id = {id(a): gradient for a, gradient in zip(attention, gradients, strict=False)}

    def weigh(a: Tensor) -> Tensor:
        gradient = by_id.get(id(a))
        if gradient is None:  # the target does not depend on this attention
            return torch.zeros(a.shape[-2:], device=a.device)
        return (gradient.float() * a.detach().float()).clamp(min=0).mean((0, 1))

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
    (T, T) is R_qq - I of the text encoders.
    """
    start = family.token_grid(size)
    if family.joint:
        return through_joint(calls, start, words)
    return along(family.passages(), calls, sizes, start, words)


def by_word(family: Family, state: Relevance, step: Step) -> np.ndarray:
    """Maps (word, h, w) on the latent grid from the image tokens' relevance to each text key."""
    height, width = step.latent.shape[-2:]
    final = state.resized((height, width))
    rows = torch.tensor(family.reading(step.prompt).rows, device=final.text.device)
    maps = [
        final.text[:, torch.isin(rows, rows.new_tensor(word.tokens))].sum(1) for word in step.words
    ]
    return torch.stack(maps).reshape(-1, *final.size).cpu().numpy()
