"""Relevance of words by attention head, before it is averaged over heads."""

from contextlib import ExitStack

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.attention_gradients import image_attention
from stepscope.methods.attention_heads import reading_layers
from stepscope.methods.differences import latents_of, unconditional
from stepscope.methods.gradients import frozen
from stepscope.methods.relevance import gradients_of, selection


def head_relevance(denoiser: Denoiser, step: Step) -> Tensor:
    """Relevance (head, word) float32, >= 0, that each head takes from a step's words; all heads.

    The sum over image tokens, and over a word's tokens, of max(dY/dA x A, 0), whose mean over heads
    the rules of `relevance` pass on, for the same target Y = <stopgrad(e_c - e_u), e_c>. ValueError
    without guidance.
    """
    family = denoiser.family
    with ExitStack() as stack:
        stack.enter_context(frozen(denoiser.network))
        record = stack.enter_context(image_attention(family))
        e_u = unconditional(denoiser, [step])
        stack.enter_context(torch.enable_grad())
        latents = latents_of(denoiser, [step]).requires_grad_()
        e_c = denoiser.conditional(latents, [step]).float()
        y = ((e_c.detach() - e_u) * e_c).sum()
        gradients = gradients_of(y, [call.output for call in record.calls])
    words = selection(family, [step])[0].to(latents.device)
    taken = {
        call.module: call.taken(gradients.get(id(call.output)))[0, :, -len(words) :] @ words
        for call in record.calls
        if call.reads_text
    }
    found = [
        taken.get(layer, words.new_zeros(layer.heads, words.shape[1]))  # one that was not called
        for layer in reading_layers(family).values()
    ]
    return torch.cat(found).cpu()
