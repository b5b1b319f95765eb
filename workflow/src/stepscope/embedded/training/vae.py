"""Train the autoencoder of the embedded study: 64 pixels to a latent of 4 x 16 x 16."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from stepscope.embedded import details, scenes, untrained_readers
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


def reconstruction_loss(output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """L1 + L2 + half the L1 of picture gradients, which keeps outlines sharp.

    output and target (n, 3, 64, 64), each pixel with its weight (64, 64).
    """
    error = output - target
    absolute = (weights * error.abs()).mean() + (weights * error.square()).mean()
    right, down = error.diff(dim=-1).abs(), error.diff(dim=-2).abs()
    return absolute + 0.5 * ((weights[:, 1:] * right).mean() + (weights[1:] * down).mean())


def pictures_of(pool: int, seed: int) -> np.ndarray:
    """Pictures to train on, uint8 (pool, 64, 64, 3): scenes whose details are stronger.

    What is as faint as the world's own comes along, and smooth scenes beside grainy ones keep the
    grain from hiding it.
    """
    rng = np.random.default_rng(seed)
    grains, seals = rng.uniform(0, 0.045, pool), rng.uniform(0.06, 0.18, pool)
    start = seed * 10_000_000
    pictures = np.empty((pool, details.SIDE, details.SIDE, 3), np.uint8)
    for i in tqdm(range(pool), desc="compose train scenes", mininterval=2):
        strength = details.Strength(frame=0.4, mark=0.7, seal=seals[i], grain=grains[i])
        pictures[i] = scenes.compose(start + i, strength=strength).picture
    return pictures


def psnr(vae: AutoencoderKL, pictures: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio of the reconstruction, in dB."""
    error = decode(vae, encode(vae, pictures)).astype(np.float32) - pictures
    return float(np.mean(10 * np.log10(255**2 / np.square(error).mean((1, 2, 3)))))


def assess(vae: AutoencoderKL, count: int, seed: int) -> dict[str, float]:
    """Fidelity on `count` held-out scenes, and what is read of their details before and after.

    PSNR with and without the grain in dB; shares of details that the untrained reader gets right.
    """
    test = scene_pool(count, seed, "test")
    pictures = np.stack([scene.picture for scene in test])
    start, smooth = seed * 10_000_000, replace(details.WORLD, grain=0)
    clean = [scenes.compose(start + i, "test", strength=smooth).picture for i in range(count)]
    quality = {
        "psnr_db": psnr(vae, pictures),
        "psnr_db without grain": psnr(vae, np.stack(clean)),
        "test_scenes": count,
    }
    for name, read in ("raw", pictures), ("decoded", decode(vae, encode(vae, pictures))):
        for family, right in untrained_readers.details_right(read, test).items():
            quality[f"{family} read, {name}"] = float(right.mean())
    return quality


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
    muon_learning_rate, detail_weight (of pixels around marks and seals), ema_decay, bfloat16,
    test_scenes.
    """
    folder, state = Path(folder), Path(state)
    torch.manual_seed(seed)
    vae = build(settings["channels"])
    pictures = pictures_of(pool, seed)
    weights = torch.from_numpy(details.emphasis(*[settings["detail_weight"]] * 2))

    def loss(step: int) -> dict[str, Tensor]:
        rows = step_rng(seed, step).integers(0, pool, settings["batch"])
        batch = to_tensor(pictures[rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bfloat16"]):
            posterior = vae.encode(batch).latent_dist
            output = vae.decode(posterior.sample()).sample
        kl = posterior.kl().float().mean()
        return {
            "loss": reconstruction_loss(output.float(), batch, weights) + 1e-6 * kl,
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
    world = np.stack([scene.picture for scene in scene_pool(2048, seed)])
    vae.register_to_config(scaling_factor=float(1 / encode(vae, world).std()))
    vae.save_pretrained(folder)
    quality = assess(vae, settings["test_scenes"], seed)
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
