"""Train the autoencoder of the embedded study: 64 pixels to a latent of 4 x 16 x 16."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from stepscope.embedded.training.conversion import decode, encode, to_tensor
from stepscope.embedded.training.loop import fit, scene_pool, step_rng, write_card
from stepscope.embedded.training.muon import optimizers_for


def build(channels: list[int]) -> AutoencoderKL:
    """An `AutoencoderKL` that halves the sides once for each channel count but the last."""
    levels = len(channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=64,
        mid_block_add_attention=False,
    )
    return vae.to(memory_format=torch.channels_last)


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 + L2 + half the L1 of picture gradients, which keeps outlines sharp."""
    error = output - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + error.square().mean() + 0.5 * edges


def psnr(vae: AutoencoderKL, pictures: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio of the reconstruction, in dB."""
    error = decode(vae, encode(vae, pictures)).astype(np.float32) - pictures
    return float(np.mean(10 * np.log10(255**2 / np.square(error).mean((1, 2, 3)))))


def train(
    folder: str | Path,
    state: str | Path,
    *,
    seed: int,
    checkpoint_minutes: float,
    pool: int,
    **settings: Any,
) -> dict[str, float]:
    """Train on `pool` scenes and write a diffusers folder with a model card; return its quality.

    `state` holds the checkpoints. `settings`: channels, steps, batch, learning_rate,
    muon_learning_rate, ema_decay, bfloat16, test_scenes.
    """
    folder, state = Path(folder), Path(state)
    torch.manual_seed(seed)
    vae = build(settings["channels"])
    pictures = np.stack([scene.picture for scene in scene_pool(pool, seed)])

    def loss(step: int) -> dict[str, Tensor]:
        rows = step_rng(seed, step).integers(0, pool, settings["batch"])
        batch = to_tensor(pictures[rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bfloat16"]):
            posterior = vae.encode(batch).latent_dist
            output = vae.decode(posterior.sample()).sample
        kl = posterior.kl().float().mean()
        return {
            "loss": reconstruction_loss(output.float(), batch) + 1e-6 * kl,
            "mse": F.mse_loss(output.float(), batch),
        }

    facts = fit(
        state,
        "vae",
        vae,
        loss,
        optimizers_for(vae, settings["muon_learning_rate"], settings["learning_rate"]),
        steps=settings["steps"],
        seed=seed,
        checkpoint_minutes=checkpoint_minutes,
        ema_decay=settings["ema_decay"],
    )
    # the scale that gives the latents unit variance, as in Rombach et al. (2022)
    vae.register_to_config(scaling_factor=1.0)
    vae.register_to_config(scaling_factor=float(1 / encode(vae, pictures[:2048]).std()))
    vae.save_pretrained(folder)
    test = np.stack([scene.picture for scene in scene_pool(settings["test_scenes"], seed, "test")])
    quality = {"psnr_db": psnr(vae, test), "test_scenes": len(test)}
    sections = {
        "Data": {"training scenes": pool, "batch": settings["batch"], "seed": seed},
        "Training": facts,
        "Quality on held-out combinations": quality,
    }
    write_card(
        folder,
        "Autoencoder of OpenMoji scenes",
        "AutoencoderKL, 64 x 64 RGB to 4 x 16 x 16, trained on composed scenes.",
        sections,
        [state / "vae.tsv"],
    )
    return quality
