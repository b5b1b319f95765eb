"""Pictures as tensors and as latents of the autoencoder, and back."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor


def to_tensor(pictures: Sequence[np.ndarray] | np.ndarray) -> Tensor:
    """uint8 (n, 64, 64, 3) as float32 (n, 3, 64, 64) in -1..1, channels last in memory."""
    values = torch.from_numpy(np.asarray(pictures)).permute(0, 3, 1, 2)
    return (values.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def to_pictures(values: Tensor) -> np.ndarray:
    """Float (n, 3, y, x), clipped to -1..1, as uint8 (n, y, x, 3)."""
    values = ((values.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return values.permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: np.ndarray, batch: int = 64) -> Tensor:
    """Scaled posterior means of uint8 pictures (n, 64, 64, 3), float32 (n, 4, 16, 16)."""
    parts = [
        vae.encode(to_tensor(pictures[i : i + batch])).latent_dist.mean
        for i in range(0, len(pictures), batch)
    ]
    return torch.cat(parts).contiguous() * vae.config.scaling_factor


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor, batch: int = 64) -> np.ndarray:
    """Pictures, uint8 (n, 64, 64, 3), of scaled latents (n, 4, 16, 16)."""
    parts = (latents.float() / vae.config.scaling_factor).split(batch)
    return np.concatenate([to_pictures(vae.decode(part.to(vae.dtype)).sample) for part in parts])
