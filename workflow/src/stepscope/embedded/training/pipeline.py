"""The trained pipeline at work: clean predictions, generated pictures, and what they show."""

from pathlib import Path

import numpy as np
import torch
from diffusers import SchedulerMixin, StableDiffusionPipeline
from torch import Tensor
from tqdm import tqdm

from stepscope.embedded import scenes, untrained_readers
from stepscope.embedded.training.conversion import decode, encode
from stepscope.embedded.training.tokenizer import tokens
from stepscope.models.loading import load_parts
from stepscope.models.noise_levels import log_snr_levels


def load(folder: str | Path) -> StableDiffusionPipeline:
    """The pipeline in float32 on the CPU, whatever it was saved as."""
    parts = load_parts(Path(folder), torch.float32)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, **parts)
    pipeline.vae.to(memory_format=torch.channels_last)
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def predictions(
    pipeline: StableDiffusionPipeline,
    composed: list[scenes.Scene],
    timesteps: np.ndarray,
    guidances: np.ndarray,
    seed: int,
    batch: int = 64,
) -> np.ndarray:
    """Decoded clean predictions of forward-noised scenes, uint8 (n, 64, 64, 3).

    Scene i is noised to `timesteps[i]` and predicted with guidance scale `guidances[i]`.
    """
    latents = encode(pipeline.vae, np.stack([scene.picture for scene in composed]))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    captions = [scene.caption for scene in composed]
    return clean(pipeline, latents, noise, captions, timesteps, guidances, batch)


@torch.no_grad()
def clean(
    pipeline: StableDiffusionPipeline,
    latents: Tensor,
    noise: Tensor,
    captions: list[str],
    timesteps: np.ndarray,
    guidances: np.ndarray,
    batch: int = 64,
) -> np.ndarray:
    """Decoded clean predictions of latents (n, 4, 16, 16) with that noise, uint8 (n, 64, 64, 3).

    Latent i is noised to `timesteps[i]` and predicted with guidance scale `guidances[i]`.
    """
    t = torch.from_numpy(np.asarray(timesteps, np.int64))
    alphas_cumprod = pipeline.scheduler.alphas_cumprod[t][:, None, None, None]
    alpha, sigma = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    noised = alpha * latents + sigma * noise
    scale = torch.from_numpy(np.asarray(guidances, np.float32))[:, None, None, None]
    empty = pipeline.text_encoder(tokens(pipeline.tokenizer, [""]))[0]
    predicted = []
    for i in tqdm(range(0, len(latents), batch), desc="predict scenes", mininterval=5):
        part = slice(i, i + batch)
        words = pipeline.text_encoder(tokens(pipeline.tokenizer, captions[part]))[0]
        both = torch.cat([empty.expand_as(words), words])
        output = pipeline.unet(noised[part].repeat(2, 1, 1, 1), t[part].repeat(2), both).sample
        without_prompt, with_prompt = output.chunk(2)
        guided = without_prompt + scale[part] * (with_prompt - without_prompt)
        predicted.append((noised[part] - sigma[part] * guided) / alpha[part])
    return decode(pipeline.vae, torch.cat(predicted))


def log_snr(scheduler: SchedulerMixin) -> np.ndarray:
    """2 log(alpha / sigma) in nats of each time step, float64, from 0, the cleanest."""
    return np.array(log_snr_levels("diffusion", scheduler.config))


def held_out_prompts(count: int, seed: int) -> list[scenes.Scene]:
    """Held-out scenes, half with one object and half with two, in all word orders."""
    drawn: dict[int, list[scenes.Scene]] = {1: [], 2: []}
    number = 20_000_000 + seed * 1_000_000
    while sum(len(kept) for kept in drawn.values()) < count:
        scene = scenes.compose(number, "test")
        kept = drawn[len(scene.objects)]
        if len(kept) < (count + 1) // 2:
            kept.append(scene)
        number += 1
    return drawn[1] + drawn[2]


@torch.no_grad()
def generate(
    pipeline: StableDiffusionPipeline,
    shown: list[scenes.Scene],
    steps: int,
    guidance: float,
    seed: int,
) -> np.ndarray:
    """Pictures of the scenes' captions, uint8 (n, 64, 64, 3), each from its own seed."""
    pictures = []
    for i in tqdm(range(0, len(shown), 32), desc="generate", mininterval=5):
        captions = [scene.caption for scene in shown[i : i + 32]]
        generators = [
            torch.Generator().manual_seed(seed * 100_000 + i + j) for j in range(len(captions))
        ]
        pictures += pipeline(
            captions,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="pil",
        ).images
    return np.stack([np.asarray(picture) for picture in pictures])


def read_by_untrained(pictures: np.ndarray, shown: list[scenes.Scene]) -> dict[str, float]:
    """Shares of pictures in which the untrained readers find what the caption names."""
    single = np.array([len(scene.objects) == 1 for scene in shown])
    objects = np.array(
        [_objects_found(picture, scene) for picture, scene in zip(pictures, shown, strict=True)]
    )
    colours = untrained_readers.read_colour(pictures)
    backgrounds = untrained_readers.read_background(pictures)
    right = {"single object (sprites)": objects[single], "both objects (sprites)": objects[~single]}
    right |= {
        name: np.array(
            [
                found == getattr(scene.spec, family)
                for found, scene in zip(read, shown, strict=True)
                if family in scene.named
            ]
        )
        for name, family, read in (
            ("background colour (median)", "colour", colours),
            ("texture (nearest backdrop)", "texture", [texture for _, texture in backgrounds]),
        )
    }
    details = untrained_readers.details_right(pictures, shown, named=True)
    right |= {f"{family} (matching)": of_family for family, of_family in details.items()}
    return {name: float(of_name.mean()) for name, of_name in right.items() if len(of_name)}


def _objects_found(picture: np.ndarray, scene: scenes.Scene) -> bool:
    sides = [scenes.BIG, scenes.SMALL] if len(scene.objects) == 1 else [scenes.PAIRED]
    (names,) = untrained_readers.read_objects(picture[None], sides, len(scene.objects))
    return set(names) == set(scene.objects)
