"""Between pictures and clean latents, by a pipeline's own autoencoder."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import DiffusionPipeline
from torch import Tensor


def decode(pipeline: DiffusionPipeline, latents: Tensor) -> Tensor:
    """Pictures (B, 3, height, width) in [0, 1] of clean latents (B, C, h, w)."""
    vae = pipeline.vae
    scaled = latents / vae.config.scaling_factor
    if (statistics := _statistics(pipeline, latents)) is not None:
        mean, deviation = statistics
        scaled = scaled * deviation + mean
    scaled = scaled + _shift(pipeline)
    with _full_precision(pipeline):
        pictures = vae.decode(scaled.to(vae.dtype), return_dict=False)[0]
    return (pictures * 0.5 + 0.5).clamp(0, 1)


@torch.no_grad()
def encode(pipeline: DiffusionPipeline, pictures: Tensor) -> Tensor:
    """Clean latents (B, C, h, w) of pictures (B, 3, height, width) in [-1, 1].

    The encoder gives a distribution, of which this is the mode.
    """
    vae = pipeline.vae
    with _full_precision(pipeline):
        on_device = pictures.to(pipeline._execution_device, vae.dtype)
        latents = vae.encode(on_device).latent_dist.mode()
    latents = latents - _shift(pipeline)
    if (statistics := _statistics(pipeline, latents)) is not None:
        mean, deviation = statistics
        latents = (latents - mean) / deviation
    return latents * vae.config.scaling_factor


def _shift(pipeline: DiffusionPipeline) -> float:
    return getattr(pipeline.vae.config, "shift_factor", None) or 0.0


def _statistics(pipeline: DiffusionPipeline, latents: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mean and deviation (1, C, 1, 1) of the latents, where an autoencoder states them."""
    config = pipeline.vae.config
    if getattr(config, "latents_mean", None) is None:
        return None
    mean, deviation = (
        latents.new_tensor(values).view(1, -1, 1, 1)
        for values in (config.latents_mean, config.latents_std)
    )
    return mean, deviation


@contextmanager
def _full_precision(pipeline: DiffusionPipeline) -> Iterator[None]:
    """Let XL's autoencoder, which overflows in half precision, compute in float32."""
    vae = pipeline.vae
    dtype = vae.dtype
    upcast = dtype == torch.float16 and hasattr(pipeline, "upcast_vae")
    if upcast:
        vae.to(torch.float32)
    try:
        yield
    finally:
        if upcast:
            vae.to(dtype)
