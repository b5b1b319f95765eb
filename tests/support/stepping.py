"""A step of known parts, and a denoiser without a network that changes cells in known ways."""

import numpy as np
import torch

from stepscope.diffusion.step import Step

SIDE = 8
SIGNAL, NOISE = 0.6, 0.8


def step(number=1, side=SIDE, seed=0, **changes):
    """A made step: `latent` is SIGNAL `denoised` + NOISE eps, `outputs` are eps in both halves."""
    generator = torch.Generator().manual_seed(100 * seed + number)
    clean, eps = torch.randn(2, 4, side, side, generator=generator)
    made = {
        "number": number,
        "timestep": 500.0,
        "log_snr": 2 * np.log(SIGNAL / NOISE),
        "latent": SIGNAL * clean + NOISE * eps,
        "after": clean,
        "outputs": torch.stack([eps, eps]),
        "denoised": clean,
        "conditioning": {},
        "words": (),
        "prompt": "",
        "negative_prompt": "",
        "prompt_id": "made",
        "seed": seed,
    }
    return Step(**made | changes)


class CellByCell:
    """A step multiplies every cell of the latent by its own `effect` (h, w).

    It keeps the rows that it is given, as (step number, bytes).
    """

    device = torch.device("cpu")

    def __init__(self, effect=1.0):
        self.effect = torch.as_tensor(effect, dtype=torch.float32)
        self.called, self.decoded = [], 0

    def outputs(self, latents, steps):
        rows = zip(steps, latents, strict=True)
        self.called += [(step.number, latent.numpy().tobytes()) for step, latent in rows]
        return torch.stack([latents, latents], 1)

    def guided(self, outputs):
        return outputs[:, 1]

    def levels(self, step):
        return SIGNAL, NOISE

    def clean(self, latents, output, step):
        return (latents - NOISE * output) / SIGNAL

    def advance(self, latents, output, steps):
        return output * self.effect

    def decode(self, latents):
        self.decoded += len(latents)
        return latents[:, :3]
