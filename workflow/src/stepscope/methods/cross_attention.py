"""Cross-attention of words, from the trace."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from stepscope.diffusion.step import Step
from stepscope.methods.method import method

if TYPE_CHECKING:
    from stepscope.diffusion.denoiser import Denoiser


@method(
    calls=lambda words, p: 0,
    target="none: probabilities of the forward pass",
    features="cross-attention probabilities, mean over heads and layers of each resolution",
    held_fixed="everything",
    replays=False,
)
def cross_attention(denoiser: "Denoiser | None", step: Step) -> np.ndarray:
    """Maps (word, h, w) in [0, 1]: the attention that each pixel pays to a word, from the trace.

    Resolutions are brought to the latent grid bilinearly and averaged (as DAAM, arXiv 2210.04885).
    The tokens of one word are summed, so that a pixel's words, other tokens, start, end and padding
    still add up to 1.
    """
    size = step.latent.shape[-2:]
    grids = [
        F.interpolate(maps.float()[None], size=size, mode="bilinear")[0]
        for maps in step.attention.values()
    ]
    mean = torch.stack(grids).mean(0)  # (J, h, w)
    return torch.stack([mean[list(word.tokens)].sum(0) for word in step.words]).numpy()
