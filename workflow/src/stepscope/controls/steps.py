"""Steps under another sample's prompt or latent, and what a call of the network makes of a step."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.tracing.attention import AttentionHooks


def partner(seed: int, sample: int, prompt_ids: Sequence[str], seeds: Sequence[int]) -> int:
    """Number of another prompt's sample, of another noise where there is one.

    It is drawn by the seed and by who the samples are, whatever their order. Without another
    prompt it is a ValueError.
    """
    names = [f"{prompt_id}/{seed}" for prompt_id, seed in zip(prompt_ids, seeds, strict=True)]
    others = [n for n, prompt_id in enumerate(prompt_ids) if prompt_id != prompt_ids[sample]]
    if not others:
        raise ValueError(f"{prompt_ids[sample]} is the only prompt of its batch.")
    apart = [n for n in others if seeds[n] != seeds[sample]]

    def drawn(other: int) -> bytes:
        return hashlib.sha256(f"{seed}/{names[sample]}/{names[other]}".encode()).digest()

    return min(apart or others, key=drawn)


def with_prompt(step: Step, other: Step) -> Step:
    """A step whose network is given another one's prompt; the empty prompt stays."""
    conditioning = {
        name: torch.stack([halves[0], other.conditioning[name][1]])
        for name, halves in step.conditioning.items()
    }
    return replace(step, prompt=other.prompt, words=other.words, conditioning=conditioning)


def with_latent(step: Step, other: Step) -> Step:
    """A step whose latent, and what the solver remembers of it, are another one's."""
    return replace(step, latent=other.latent, history=other.history)


@torch.no_grad()
def recorded(denoiser: Denoiser, step: Step) -> Step:
    """The step as it would have been traced: outputs, attention and what follows are made anew.

    For a step, or a network, that is not the one that was traced.
    """
    latents = step.latent[None].to(denoiser.device)
    with AttentionHooks(denoiser.family) as hooks:
        hooks.begin([denoiser.family.reading(step.prompt)])
        outputs = denoiser.outputs(latents, step)
        hooks.step_ended()
    height, width = step.latent.shape[-2:]
    attention, _, _ = hooks.result(1, (height, width))
    guided = denoiser.guided(outputs)
    return replace(
        step,
        outputs=outputs[0].cpu(),
        denoised=denoiser.clean(latents, guided, step)[0].float().cpu(),
        after=denoiser.advance(latents, guided, step)[0].cpu(),
        attention={size: maps[0, 0] for size, maps in attention.items()},
    )
