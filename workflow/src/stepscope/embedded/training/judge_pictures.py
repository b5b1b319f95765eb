"""Pictures to judge: raw, decoded, blurred and predicted scenes, and generated ones."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPTokenizer

from stepscope.embedded import scenes, untrained_readers
from stepscope.embedded.training.loop import fit, scene_pool
from stepscope.embedded.training.muon import optimizers_for
from stepscope.embedded.training.vae import decode, encode

GUIDANCES = (0.0, 1.0, 4.0)  # empty prompt, prompt, guided
LOG_SNR_EDGES = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0)


def tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Padded token ids, int64 (n, longest that the tokenizer allows)."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def load(folder: str | Path) -> StableDiffusionPipeline:
    """The pipeline in float32 on the CPU, whatever it was saved as."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
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
    latents = encode(pipeline.vae, np.stack([s.picture for s in composed]))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    t = torch.from_numpy(np.asarray(timesteps, np.int64))
    alphas_cumprod = pipeline.scheduler.alphas_cumprod[t][:, None, None, None]
    alpha, sigma = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    noised = alpha * latents + sigma * noise
    w = torch.from_numpy(np.asarray(guidances, np.float32))[:, None, None, None]
    empty = pipeline.text_encoder(tokens(pipeline.tokenizer, [""]))[0]
    clean = []
    for i in tqdm(range(0, len(composed), batch), desc="predict scenes", mininterval=5):
        part = slice(i, i + batch)
        words = pipeline.text_encoder(
            tokens(pipeline.tokenizer, [s.caption for s in composed[part]])
        )[0]
        both = torch.cat([empty.expand_as(words), words])
        output = pipeline.unet(noised[part].repeat(2, 1, 1, 1), t[part].repeat(2), both).sample
        without, given = output.chunk(2)
        guided = without + w[part] * (given - without)
        clean.append((noised[part] - sigma[part] * guided) / alpha[part])
    return decode(pipeline.vae, torch.cat(clean))


def log_snr(pipeline: StableDiffusionPipeline, timesteps: np.ndarray) -> np.ndarray:
    """2 log(alpha / sigma) of each timestep, float64."""
    kept = pipeline.scheduler.alphas_cumprod.double().numpy()[np.asarray(timesteps)]
    return np.log(kept / (1 - kept))


def by_log_snr(
    pipeline: StableDiffusionPipeline,
    count: int,
    seed: int,
    score: Callable[[np.ndarray, list[scenes.Scene]], dict[str, float]],
) -> dict[str, float]:
    """Scores of a judge on clean predictions of ``count`` held-out scenes, per band of log-SNR.

    ``score(pictures, scenes)`` is called with the prompt's predictions and the empty prompt's.
    """
    test = scene_pool(count, seed, "test")
    t = np.random.default_rng(seed).integers(0, 1000, count)
    levels, result = log_snr(pipeline, t), {}
    for prompt, guidance in (("", 1.0), (", empty prompt", 0.0)):
        pictures = predictions(pipeline, test, t, np.full(count, guidance), seed)
        for low, high in pairwise(LOG_SNR_EDGES):
            rows = np.flatnonzero((levels >= low) & (levels < high))
            if len(rows):
                band = f"log-SNR {low:g} to {high:g}{prompt}"
                found = score(pictures[rows], [test[i] for i in rows])
                result |= {f"{name}, {band}": value for name, value in found.items()}
    return result


def held_out_prompts(count: int, seed: int) -> list[scenes.Scene]:
    """Held-out scenes, half with one object and half with two, both word orders."""
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
def generate(pipeline, shown: list[scenes.Scene], steps: int, guidance: float, seed: int):
    """Pictures of the scenes' captions, uint8 (n, 64, 64, 3), each from its own seed."""
    pictures = []
    for i in tqdm(range(0, len(shown), 32), desc="generate", mininterval=5):
        captions = [s.caption for s in shown[i : i + 32]]
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
    return np.stack([np.asarray(p) for p in pictures])


def read(pictures: np.ndarray, shown: list[scenes.Scene]) -> dict[str, float]:
    """Shares of pictures whose objects, colour and texture the learning-free readers find."""
    single = np.array([len(s.objects) == 1 for s in shown])
    found = {1: [scenes.BIG, scenes.SMALL], 2: [scenes.PAIRED]}
    right = np.array(
        [
            set(untrained_readers.read_objects(p[None], found[len(s.objects)], len(s.objects))[0])
            == set(s.objects)
            for p, s in zip(pictures, shown, strict=True)
        ]
    )
    backgrounds = untrained_readers.read_background(pictures)
    colour = [
        c == s.colour for c, s in zip(untrained_readers.read_colour(pictures), shown, strict=True)
    ]
    texture = [t == s.texture for (_, t), s in zip(backgrounds, shown, strict=True)]
    shares = {"background colour (median)": colour, "texture (nearest backdrop)": texture}
    if single.any():
        shares = {"single object (sprites)": right[single]} | shares
    if (~single).any():
        shares = {"both objects (sprites)": right[~single]} | shares
    return {name: float(np.mean(share)) for name, share in shares.items()}


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (n, 3, y, x), edges replicated."""
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / max(sigma, 1e-3)) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    x = F.pad(pictures, (radius,) * 4, mode="replicate")
    x = F.conv2d(x, kernel[:, :, None, :], groups=3)
    return F.conv2d(x, kernel[:, :, :, None], groups=3)


def augment(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur a third of the batch, each third part of it with its own strength; add faint noise."""
    out = pictures.clone()
    third = len(out) // 3
    for part in torch.arange(third).split(max(1, -(-third // 3))):
        if len(part):
            out[part] = blur(out[part], float(rng.uniform(0.4, 2.5)))
    noise = torch.from_numpy(rng.normal(0, 1, out.shape).astype(np.float32))
    return out + 0.03 * float(rng.random()) * noise


class Pictures:
    """Pictures for a judge with the scenes they show: raw and decoded, predicted if asked."""

    def __init__(self, pipeline, count: int, predicted: int, seed: int, max_timestep: int):
        rng = np.random.default_rng(seed)
        start = seed * 10_000_000
        composed = [scenes.compose(start + i) for i in range(count)]
        raw = np.stack([s.picture for s in composed])
        half = count // 2
        raw[:half] = decode(pipeline.vae, encode(pipeline.vae, raw[:half]))
        self.pictures, self.scenes = raw, composed
        if predicted:
            chosen = [scenes.compose(start + count + i) for i in range(predicted)]
            t = rng.integers(0, max_timestep, predicted)
            w = rng.choice(GUIDANCES, predicted)
            extra = predictions(pipeline, chosen, t, w, seed)
            self.pictures, self.scenes = np.concatenate([raw, extra]), composed + chosen
        self.plain, self.predicted = count, predicted

    def rows(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        """A batch's rows: half of them predictions, where there are any."""
        rows = rng.integers(0, self.plain, batch)
        if self.predicted:
            second = batch // 2
            rows[:second] = self.plain + rng.integers(0, self.predicted, second)
        return rng.permutation(rows)


def fit_in_two_phases(
    state: Path,
    name: str,
    model: nn.Module,
    loss: Callable[[int, int], dict[str, Tensor]],
    settings: dict,
    *,
    seed: int,
    checkpoint_minutes: float,
) -> tuple[dict[str, dict], list[Path]]:
    """Train a judge without, then also with pictures that the U-Net predicted.

    `loss(step, predicted)`: terms of a step with so many predicted pictures in the pool.
    `settings`: steps, finetune_steps, predicted, muon_learning_rate, learning_rate, finetune_rate
    (its share in the second phase). Returns the facts of each phase for the card, and the loss
    curves' files.
    """
    facts = {}
    for phase, predicted, share in (
        ("steps", 0, 1),
        ("finetune_steps", settings["predicted"], settings["finetune_rate"]),
    ):
        rates = share * settings["muon_learning_rate"], share * settings["learning_rate"]
        facts[phase] = fit(
            state,
            f"{name}_{phase}",
            model,
            partial(loss, predicted=predicted),
            optimizers_for(model, *rates),
            steps=settings[phase],
            seed=seed,
            checkpoint_minutes=checkpoint_minutes,
            ema_decay=0.995,
        )
    return facts, [state / f"{name}_{phase}.tsv" for phase in facts]
