"""Train the autoencoder of the embedded study: 64 pixels to a latent of 4 x 16 x 16."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from stepscope.training import fit, scene_pool, step_rng, to_tensor, write_card


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


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: np.ndarray, batch: int = 64) -> Tensor:
    """Scaled posterior means of uint8 pictures, float32 (n, 4, 16, 16)."""
    parts = [
        vae.encode(to_tensor(pictures[i : i + batch])).latent_dist.mean
        for i in range(0, len(pictures), batch)
    ]
    return torch.cat(parts).contiguous() * vae.config.scaling_factor


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor, batch: int = 64) -> np.ndarray:
    """Pictures of scaled latents, uint8 (n, 64, 64, 3)."""
    parts = []
    for part in (latents.float() / vae.config.scaling_factor).split(batch):
        picture = vae.decode(part.to(vae.dtype)).sample.float()
        picture = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        parts.append(picture.permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def psnr(vae: AutoencoderKL, pictures: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio of the reconstruction, in dB."""
    error = decode(vae, encode(vae, pictures)).astype(np.float32) - pictures
    return float(np.mean(10 * np.log10(255**2 / np.square(error).mean((1, 2, 3)))))


def train(folder: str | Path, *, seed: int, checkpoint_minutes: float, pool: int, **settings):
    """Train encoder and decoder, then the decoder alone; write a diffusers folder with a card.

    `settings`: channels, steps, decoder_steps, batch, learning_rate, decoder_learning_rate,
    bfloat16, test_scenes. The second phase leaves the latents as they are.
    """
    folder = Path(folder)
    state = folder / "state"
    torch.manual_seed(seed)
    vae = build(settings["channels"])
    pictures = np.stack([s.picture for s in scene_pool(pool, seed)])

    def batch(step: int) -> Tensor:
        rows = step_rng(seed, step).integers(0, len(pictures), settings["batch"])
        return to_tensor(pictures[rows])

    def whole(step: int) -> dict[str, Tensor]:
        x = batch(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bfloat16"]):
            posterior = vae.encode(x).latent_dist
            output = vae.decode(posterior.sample()).sample
        loss = reconstruction_loss(output.float(), x)
        return {
            "loss": loss + 1e-6 * posterior.kl().float().mean(),
            "mse": F.mse_loss(output.float(), x),
        }

    def decoder_only(step: int) -> dict[str, Tensor]:
        x = batch(10_000_000 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bfloat16"]):
            with torch.no_grad():
                z = vae.encode(x).latent_dist.sample()
            output = vae.decode(z).sample
        loss = reconstruction_loss(output.float(), x)
        return {"loss": loss, "mse": F.mse_loss(output.float(), x)}

    common = {"seed": seed, "checkpoint_minutes": checkpoint_minutes, "ema_decay": 0.995}
    rate = settings["learning_rate"]
    optimizer = torch.optim.AdamW(vae.parameters(), rate, weight_decay=1e-4)
    steps = settings["steps"]
    first = fit(state, "vae", vae, whole, [optimizer], steps=steps, **common)
    # the scale that gives the latents unit variance, as in Rombach et al. (2022)
    vae.register_to_config(scaling_factor=float(1 / encode(vae, pictures[:2048]).std()))
    vae.save_pretrained(state / "encoder_final")

    vae.requires_grad_(False)
    trained = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, settings["decoder_learning_rate"], weight_decay=1e-4)
    steps = settings["decoder_steps"]
    second = fit(state, "decoder", vae, decoder_only, [optimizer], steps=steps, **common)

    test = np.stack([s.picture for s in scene_pool(settings["test_scenes"], seed, "test")])
    quality = {"psnr_db": psnr(vae, test), "test_scenes": len(test)}
    vae.requires_grad_(True).save_pretrained(folder)
    sections = {
        "Data": {"training scenes": pool, "batch": settings["batch"], "seed": seed},
        "Training": {
            "parameters": first["parameters"],
            "steps, encoder and decoder": first["steps"],
            "steps, decoder alone": second["steps"],
            "seconds": first["seconds"] + second["seconds"],
        },
        "Quality on held-out combinations": quality,
    }
    write_card(
        folder,
        "Autoencoder of OpenMoji scenes",
        "AutoencoderKL, 64 x 64 RGB to 4 x 16 x 16, trained on composed scenes.",
        sections,
    )
    return quality
