"""All tensors of one traced pipeline call, in memory."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion.step import Step
from stepscope.models.words import Word


@dataclass
class Trace:
    """All tensors of the B samples of one pipeline call, on the CPU.

    latents (B, N + 1, C, h, w): before each step and after the last, in the scheduler's scale;
    outputs (B, N, 2, C, h, w): raw [uncond, cond], uncond NaN without guidance; denoised
    (B, N, C, h, w): guided clean prediction; attention {(h, w): (B, N, J, h, w)} float32: mean
    softmax probability over heads and layers of a resolution for the rows that `token_text`
    names (start, tokens, end, summed padding), NaN beyond; conditioning {name: (B, 2, ...)}; solver
    {name: (B, N, order - 1, C, h, w)} what a multistep scheduler remembered before each step,
    oldest first, NaN where nothing; heads {layer: (B, N, H, J, h, w)}: attention of each head, as
    far as it was kept.
    """

    latents: Float[Tensor, "sample state channel y x"]
    outputs: Float[Tensor, "sample step 2 channel y x"]
    denoised: Float[Tensor, "sample step channel y x"]
    attention: dict[tuple[int, int], Tensor]
    timesteps: Float[np.ndarray, " step"]
    sigmas: Float[np.ndarray, " state"]
    log_snr: Float[np.ndarray, " step"]
    conditioning: dict[str, Tensor]
    solver: dict[str, Tensor]
    token_text: list[list[str]]
    words: list[tuple[Word, ...]]
    audit: dict
    guidance: float
    guidance_rescale: float
    prediction_type: str
    prompts: list[str]
    negative_prompts: list[str]
    heads: dict[str, Tensor] = field(default_factory=dict)


def steps_of(
    trace: Trace,
    sample: int,
    *,
    prompt_id: str = "",
    seed: int = 0,
    mask: Float[Tensor, "y x"] | None = None,
) -> list[Step]:
    """Steps of one sample of a trace in memory, from the noisiest."""
    history = trace.solver.get("model_outputs")
    return [
        Step(
            number=k + 1,
            timestep=float(trace.timesteps[k]),
            log_snr=float(trace.log_snr[k]),
            latent=trace.latents[sample, k],
            after=trace.latents[sample, k + 1],
            outputs=trace.outputs[sample, k],
            denoised=trace.denoised[sample, k],
            conditioning={name: value[sample] for name, value in trace.conditioning.items()},
            words=trace.words[sample],
            prompt=trace.prompts[sample],
            negative_prompt=trace.negative_prompts[sample],
            prompt_id=prompt_id,
            seed=seed,
            attention={size: maps[sample, k] for size, maps in trace.attention.items()},
            mask=mask,
            history=None if history is None else history[sample, k],
            by_head={name: maps[sample, k].float() for name, maps in trace.heads.items()},
        )
        for k in range(len(trace.timesteps))
    ]


def heads_by_grid(trace: Trace) -> dict[str, Tensor]:
    """Attention by head (B, N, H, J, h, w) of each grid, as "16x16": of all its layers in order."""
    return {
        grid: torch.cat([trace.heads[layer] for layer in layers], 2)
        for grid, layers in trace.audit["layers"].items()
        if trace.heads
    }
