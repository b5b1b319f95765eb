"""Attention of words: cross-attention maps from the trace, and relevance by bi-modal rules."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from stepscope.bimodal import Relevance, text_relevance, through_unet
from stepscope.denoiser import Denoiser, Step
from stepscope.explaining import described
from stepscope.gradcam import frozen
from stepscope.information import added_by_prompt, conditional


@described(
    calls=lambda words, p: 0,
    target="none: probabilities of the forward pass",
    features="cross-attention probabilities, mean over heads and layers of each resolution",
    held_fixed="everything",
)
def cross_attention(denoiser: Denoiser, step: Step) -> np.ndarray:
    """Maps (word, h, w) in [0, 1]: the attention that each pixel pays to a word, from the trace.

    Resolutions are brought to the latent grid bilinearly and averaged (as DAAM, arXiv 2210.04885).
    The tokens of one word are summed, so that a pixel's words, other tokens, start, end and padding
    still add up to 1.
    """
    size = step.latent.shape[-2:]
    grids = [
        F.interpolate(values.float()[None], size=size, mode="bilinear")[0]
        for values in step.attention.values()
    ]
    mean = torch.stack(grids).mean(0)  # (J, h, w)
    return torch.stack([mean[list(word.tokens)].sum(0) for word in step.words]).numpy()


@described(
    calls=lambda words, p: 2.5,
    target="what the prompt adds at this step",
    features="attention probabilities of the U-Net and of the text encoder, times their gradients",
    held_fixed="time step, latent; e_u and the difference itself; convolutions as identity",
)
def relevance(denoiser: Denoiser, step: Step) -> np.ndarray:
    """Maps (word, h, w), >= 0: relevance of a word's tokens to each image token, unnormalised.

    The bi-modal rules of Chefer et al. (ICCV 2021) over the conditional half in forward order, for
    the target <stopgrad(e_c - e_u), e_c>; the sum over pixels is a word's score at the step, and
    scores compare between steps. A word is the sum of its tokens.
    """
    weights = added_by_prompt(denoiser, step).float()
    pipeline = denoiser.pipeline
    encoders = [
        encoder
        for name in ("text_encoder", "text_encoder_2")
        if (encoder := getattr(pipeline, name, None)) is not None
    ]
    with ExitStack() as stack:
        stack.enter_context(frozen(denoiser.unet, *encoders))
        stack.enter_context(torch.enable_grad())
        texts = [stack.enter_context(text_attention(encoder)) for encoder in encoders]
        record = stack.enter_context(image_attention(denoiser.unet))
        conditioning = encoded(denoiser, step)
        latents = step.latent[None].to(denoiser.unet.device).requires_grad_()
        output = conditional(denoiser, latents, step, conditioning)[0].float()
        y = (weights * output).sum()
        weigh = weighted(
            y, [*(a for text in texts for a in text), *(a for _, _, a in record.calls)]
        )
    count = conditioning["prompt_embeds"].shape[-2]
    per_encoder = [text_relevance([weigh(a) for a in text], count) for text in texts]
    words = torch.stack(per_encoder).mean(0)  # both encoders' features form one token
    calls = [(module, cross, weigh(a)) for module, cross, a in record.calls]
    state = through_unet(denoiser.unet, calls, record.sizes, words.to(latents.device))
    return by_word(state, step)


def encoded(denoiser: Denoiser, step: Step) -> dict[str, Tensor]:
    """The step's conditioning with the prompt encoded anew, so that gradients reach the encoder."""
    given = denoiser.without(step)  # all words stay; a planted denoiser adds what it needs
    return given | {
        name: torch.stack([given[name][0].to(new), new])
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


def by_word(state: Relevance, step: Step) -> np.ndarray:
    """Maps (word, h, w) on the latent grid from the image tokens' relevance to each text token."""
    final = state.resized(tuple(step.latent.shape[-2:]))
    maps = [final.text[:, list(word.tokens)].sum(1) for word in step.words]
    return torch.stack(maps).reshape(-1, *final.size).cpu().numpy()


@dataclass
class Record:
    """Attention calls (module, cross, probabilities (1, H, n, m)) in order; feature map sizes."""

    calls: list[tuple[Attention, bool, Tensor]] = field(default_factory=list)
    sizes: dict[nn.Module, tuple[int, int]] = field(default_factory=dict)


@contextmanager
def image_attention(unet: nn.Module) -> Iterator[Record]:
    """Record the attention probabilities of a call with gradients, and each layer's output size."""
    record = Record()
    before = unet.attn_processors
    processor = KeepProbabilities(record.calls)
    unet.set_attn_processor(dict.fromkeys(before, processor))
    kinds = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
    layers = [module for module in unet.modules() if type(module).__name__ in kinds]

    def keep(module, _inputs, output):
        record.sizes[module] = tuple(output.shape[-2:])

    handles = [module.register_forward_hook(keep) for module in layers]
    # of several calls, the last is the one with the full prompt
    handles.append(unet.register_forward_pre_hook(lambda module, inputs: record.calls.clear()))
    try:
        yield record
    finally:
        unet.set_attn_processor(before)
        for handle in handles:
            handle.remove()


class KeepProbabilities:
    """Attention processor that computes probabilities as part of the graph and keeps them.

    The library's plain ``AttnProcessor`` written out, since fused attention has no probabilities.
    Whether a call is cross-attention is seen by ``encoder_hidden_states``: with
    ``only_cross_attention`` a module's name does not tell.
    """

    def __init__(self, calls: list[tuple[Attention, bool, Tensor]]) -> None:
        self.calls = calls

    def __call__(
        self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None
    ) -> Tensor:
        """Attention's output for hidden_states (B, n, C) or (B, C, h, w), as the library's."""
        residual = hidden_states
        shape = hidden_states.shape
        if len(shape) == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        cross = encoder_hidden_states is not None
        source = encoder_hidden_states if cross else hidden_states
        if cross and attn.norm_cross:
            source = attn.norm_encoder_hidden_states(source)

        def heads(x):  # (B, n, H d) -> (B, H, n, d)
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        query, key, value = (
            heads(attn.to_q(hidden_states)),
            heads(attn.to_k(source)),
            heads(attn.to_v(source)),
        )
        query = query if attn.norm_q is None else attn.norm_q(query)
        key = key if attn.norm_k is None else attn.norm_k(key)
        scores = query @ key.transpose(-1, -2) * attn.scale
        if attention_mask is not None:
            scores = scores + attn.prepare_attention_mask(
                attention_mask, key.shape[2], len(key)
            ).unflatten(0, (len(key), -1))
        probabilities = scores.float().softmax(-1).to(value.dtype)
        if probabilities.requires_grad:
            self.calls.append((attn, cross, probabilities))
        hidden_states = (probabilities @ value).transpose(1, 2).flatten(2)
        hidden_states = attn.to_out[1](attn.to_out[0](hidden_states))
        if len(shape) == 4:
            hidden_states = hidden_states.transpose(1, 2).reshape(shape)
        if attn.residual_connection:
            hidden_states = hidden_states + residual
        return hidden_states / attn.rescale_output_factor


@contextmanager
def text_attention(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Record the attention probabilities (1, H, n, n) of a text encoder, layer by layer."""
    kept: list[Tensor] = []
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")  # the fused one has no probabilities

    def start(_module, _inputs, output):
        return output.requires_grad_()  # weights are frozen: without this there is no graph

    def keep(_module, _inputs, output):
        if output[1].requires_grad:  # not of a prompt that is only compared with
            kept.append(output[1])

    handles = [encoder.get_input_embeddings().register_forward_hook(start)]
    handles += [
        module.register_forward_hook(keep)
        for module in encoder.modules()
        if hasattr(module, "k_proj")
    ]
    try:
        yield kept
    finally:
        encoder.set_attn_implementation(before)
        for handle in handles:
            handle.remove()
