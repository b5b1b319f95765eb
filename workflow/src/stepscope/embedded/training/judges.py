"""What the two judges, CLIP and segmenter, train on, how they train, and where they are scored."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn
from torch.nn import functional as F

from stepscope.embedded import details, scenes
from stepscope.embedded.training.conversion import decode, encode
from stepscope.embedded.training.loop import fit, scene_pool
from stepscope.embedded.training.muon import optimizers_for
from stepscope.embedded.training.pipeline import log_snr, predictions

GUIDANCES = (0.0, 1.0, 4.0)  # empty prompt, prompt, guided
BAND = 2.0  # nats of log-SNR in which judges are scored together
# Log-SNR below which a clean prediction shows too little of its scene for a judge to learn from.
NOISIEST = -2.4


def learnt_from(levels: np.ndarray) -> int:
    """Number of time steps, from the cleanest, whose clean predictions judges learn from."""
    return int((levels >= NOISIEST).sum())


def bands(levels: np.ndarray) -> list[tuple[float, float]]:
    """Whole bands of log-SNR, `BAND` nats wide each, from the lowest to the highest of some."""
    low, high = np.floor(levels.min() / BAND), np.floor(levels.max() / BAND) + 1
    return [*pairwise((BAND * np.arange(low, high + 1)).tolist())]


def by_log_snr(
    pipeline: StableDiffusionPipeline,
    count: int,
    seed: int,
    score: Callable[[np.ndarray, list[scenes.Scene]], dict[str, float]],
) -> dict[str, float]:
    """Scores of a judge on clean predictions of `count` held-out scenes, per band of log-SNR.

    `score(pictures, scenes)` is called with the prompt's predictions and the empty prompt's.
    """
    test = scene_pool(count, seed, "test")
    of_schedule = log_snr(pipeline.scheduler)
    timesteps = np.random.default_rng(seed).integers(0, len(of_schedule), count)
    levels = of_schedule[timesteps]
    result: dict[str, float] = {}
    for prompt, guidance in (("", 1.0), (", empty prompt", 0.0)):
        pictures = predictions(pipeline, test, timesteps, np.full(count, guidance), seed)
        for low, high in bands(of_schedule):
            rows = np.flatnonzero((levels >= low) & (levels < high))
            if len(rows):
                band = f"log-SNR {low:g} to {high:g}{prompt}"
                scores = score(pictures[rows], [test[row] for row in rows])
                result |= {f"{name}, {band}": value for name, value in scores.items()}
    return result


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


def strengths(count: int, seal: float) -> list[details.Strength]:
    """The world's strengths with seals from its own to `seal`, in eight even ratios that repeat."""
    own = details.WORLD.seal
    return [replace(details.WORLD, seal=own * (seal / own) ** (i % 8 / 7)) for i in range(count)]


class Pictures:
    """Pictures for a judge with the scenes they show: raw and decoded, predicted if asked.

    `seal` is the strength of the strongest seals in what is not predicted.
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        count: int,
        predicted: int,
        seed: int,
        seal: float = details.WORLD.seal,
    ):
        rng = np.random.default_rng(seed)
        start = seed * 10_000_000
        composed = [
            scenes.compose(start + i, strength=strength)
            for i, strength in enumerate(strengths(count, seal))
        ]
        raw = np.stack([scene.picture for scene in composed])
        half = count // 2
        raw[:half] = decode(pipeline.vae, encode(pipeline.vae, raw[:half]))
        self.pictures, self.scenes = raw, composed
        if predicted:
            chosen = [scenes.compose(start + count + i) for i in range(predicted)]
            timesteps = rng.integers(0, learnt_from(log_snr(pipeline.scheduler)), predicted)
            guidances = rng.choice(GUIDANCES, predicted)
            extra = predictions(pipeline, chosen, timesteps, guidances, seed)
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
    settings: dict[str, Any],
    *,
    seed: int,
    checkpoint_minutes: float,
) -> tuple[dict[str, float], list[Path]]:
    """Train a judge without, then also with pictures that the U-Net predicted.

    `loss(predicted, step)`: terms of a step with so many predicted pictures in the pool.
    `settings`: steps, finetune_steps, predicted, muon_learning_rate, learning_rate, finetune_rate
    (its share in the second phase). Returns the facts of both phases for the card, and the files
    of the loss curves.
    """
    facts: dict[str, float] = {}
    curves = []
    for phase, predicted, share in (
        ("steps", 0, 1),
        ("finetune_steps", settings["predicted"], settings["finetune_rate"]),
    ):
        rates = share * settings["muon_learning_rate"], share * settings["learning_rate"]
        of_phase = fit(
            state,
            f"{name}_{phase}",
            model,
            partial(loss, predicted),
            optimizers_for(model, *rates),
            steps=settings[phase],
            seed=seed,
            checkpoint_minutes=checkpoint_minutes,
            ema_decay=0.995,
        )
        facts |= {f"{phase}: {fact}": value for fact, value in of_phase.items()}
        curves.append(state / f"{name}_{phase}.tsv")
    return facts, curves
