"""The world's clock on the autoencoder, and what the U-Net's clean predictions show beside it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from stepscope.embedded import clock_tables, scenes, untrained_readers, world_clock
from stepscope.embedded.training import pipeline
from stepscope.embedded.training.conversion import encode
from stepscope.models.loading import load_part

BOOTSTRAP = 1000  # draws of scenes
PREDICTIONS = {"e_u": 0.0, "e_c": 1.0}  # guidance scale of each
NEAR = 0.25  # nats between a level and the time step that stands for it
# Concepts read of pictures uint8 (n, 64, 64, 3), by family, of those families that it can read.
Reader = Callable[[np.ndarray], Mapping[str, Sequence[str]]]


def encoder(vae: AutoencoderKL) -> world_clock.Encoder:
    """Pictures uint8 (n, 64, 64, 3) to scaled latents, float64 (n, 1024)."""
    return lambda pictures: encode(vae, pictures).flatten(1).double().numpy()


def of_autoencoder(
    folder: str | Path, *, count: int, noises: int, draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables `world_clock` and `world_clock_families` of an autoencoder's folder.

    Of `count` held-out scenes with `noises` each, weighed by about `draws` candidates.
    """
    vae = load_part(AutoencoderKL, Path(folder)).float().eval()
    return _tables(vae, count, noises, draws, seed, lambda given: [])


def of_models(
    drawing: StableDiffusionPipeline,
    clip_reader: Reader,
    *,
    count: int,
    noises: int,
    draws: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables, with what is read of the clean predictions of the same noised latents."""
    readers = {"untrained": untrained, "CLIP": clip_reader}
    read = partial(readings, drawing, readers)
    return _tables(drawing.vae, count, noises, draws, seed, lambda given: [read(given)])


def _tables(
    vae: AutoencoderKL,
    count: int,
    noises: int,
    draws: int,
    seed: int,
    others: Callable[[world_clock.Noised], list[pd.DataFrame]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    encoded = encoder(vae)
    given = world_clock.noised(encoded, count, noises, seed)
    added = world_clock.nuisance(encoded, 10 * count, seed)
    apart = world_clock.distances(encoded, -(-count // 2), seed)
    rows = pd.concat([world_clock.bayes(encoded, given, added, draws, seed), *others(given)])
    return (
        clock_tables.table(rows, BOOTSTRAP, seed),
        clock_tables.families(rows, apart, BOOTSTRAP, seed),
    )


def readings(
    drawing: StableDiffusionPipeline, readers: Mapping[str, Reader], given: world_clock.Noised
) -> pd.DataFrame:
    """What each reader finds in the clean predictions of the noised latents, rows as of `bayes`.

    Of the time steps nearest to the levels, where the schedule has one within `NEAR`.
    """
    every = pipeline.log_snr(drawing.scheduler)
    nearest = abs(every - world_clock.LEVELS[:, None]).argmin(1)
    there = abs(every[nearest] - world_clock.LEVELS) <= NEAR
    count, noises, _ = given.noise.shape
    shape = int(there.sum()), count, noises
    level, number, noise = (axis.ravel() for axis in np.indices(shape))
    size = drawing.unet.config.sample_size
    latents, eps = (
        torch.from_numpy(values).float().reshape(-1, drawing.unet.config.in_channels, size, size)
        for values in (given.latents[number], given.noise[number, noise])
    )
    captions = [given.shown[i].caption for i in number]
    timesteps = nearest[there][level]
    keys = pd.DataFrame(
        {"log_snr": world_clock.LEVELS[there][level], "scene": number, "noise": noise}
    )
    found = []
    for prediction, guidance in PREDICTIONS.items():
        guidances = np.full(len(level), guidance)
        pictures = pipeline.clean(drawing, latents, eps, captions, timesteps, guidances)
        for name, reader in readers.items():
            for family, read in reader(pictures).items():
                shown = [scenes.concepts(scene.spec, family) for scene in given.shown]
                one = np.array([len(concepts) == 1 for concepts in shown])[number]
                right = [concept in shown[i] for concept, i in zip(read, number, strict=True)]
                rows = keys.assign(
                    reader=f"{prediction}, {name}",
                    family=family,
                    right=np.array(right, float),
                    posterior=np.nan,
                    ess=np.nan,
                )
                found.append(rows[one])
    return pd.concat(found, ignore_index=True)


def untrained(pictures: np.ndarray) -> dict[str, Sequence[str]]:
    """What the readers without learning find: all families but size and relation."""
    objects = untrained_readers.read_objects(pictures, (scenes.BIG, scenes.SMALL))
    found: dict[str, Sequence[str]] = {
        "object": [names[0] for names in objects],
        "colour": untrained_readers.read_colour(pictures),
        "texture": [texture for _, texture in untrained_readers.read_background(pictures)],
    }
    return found | untrained_readers.read_details(pictures)
