"""RQ3, earliest commitment: nearby noises, whose final concepts are the same or not.

Beside a sample's initial noise another one is drawn near it, and both are sampled to the end with
the empty prompt. Where their pictures show different concepts the pair has flipped. How far apart
the two are at each step then says since when flips can be told from stable pairs (cf. OpenReview
6F2RAzarNu).
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.schedule import Latents
from stepscope.diffusion.step import Step
from stepscope.diffusion.walk import walked
from stepscope.models import pipelines, rewording
from stepscope.scores.commitment import Readings
from stepscope.scores.continuations import Families, reading_of
from stepscope.store import tables
from stepscope.store.traces import open_trace, read_step, replay_settings, seed_by_seed, times_of

AT_ONCE = 32  # noises of a walk; a fixed number, so that a rerun gives the same bits
FLIPS = ["row", "pair", "family", "reader", "from", "to", "flipped"]


class Pairs(NamedTuple):
    """Noises and those near them, on their way to the final latents.

    `clean` and `state` (pair, noise, step) f8 are the distances of clean predictions, and of the
    states that steps start from; `finals` (1 + pair, noise, C, h, w) begins with the noises' own.
    """

    clean: np.ndarray
    state: np.ndarray
    finals: Tensor


def firsts_of(tree: xr.DataTree, samples: int | None) -> list[Step]:
    """First steps of the first `samples` samples, seed by seed, that start from different noises.

    Under one prompt, samples of the same noise are the same.
    """
    found: dict[bytes, Step] = {}
    for sample in seed_by_seed(tree):
        if len(found) == samples:
            break
        step = read_step(tree, sample, 1)
        found.setdefault(step.latent.numpy().tobytes(), step)
    return list(found.values())


def nearby(step: Step, scale: float, distance: float, number: int) -> Tensor:
    """Another noise (C, h, w) near that of a first step: sqrt(1 - d^2) z + d z', d in 0..1.

    z' is normal like z, with the standard deviation `scale`, drawn for prompt_id, seed and number
    alone; so is what results, whatever the distance.
    """
    name = f"{step.prompt_id}/{step.seed}/near/{number}".encode()
    fresh = torch.randn(
        step.latent.shape, generator=torch.Generator().manual_seed(zlib.crc32(name))
    )
    mixed = math.sqrt(1 - distance**2) * step.latent.float() + distance * scale * fresh
    return mixed.to(step.latent)


def apart(first: Latents, second: Latents) -> np.ndarray:
    """Root mean square difference (B,) f8 of latents (B, C, h, w), in their own unit."""
    difference = first.cpu().double() - second.cpu().double()
    return difference.square().mean((1, 2, 3)).sqrt().numpy()


def paired(denoiser: Denoiser, firsts: Sequence[Step], pairs: int, distance: float) -> Pairs:
    """Walks from the noises of first steps, and from `pairs` noises near each.

    A noise and those near it stand at the same place of batches of the same shape, so that equal
    noises stay equal bit by bit. (1 + pairs) calls a noise and step, by the denoiser's guidance.
    """
    scale = math.hypot(*denoiser.levels(firsts[0]))
    walks = [walked(denoiser, firsts)]
    for number in range(pairs):
        near = [replace(step, latent=nearby(step, scale, distance, number)) for step in firsts]
        walks.append(walked(denoiser, near))
    clean, state = [], []
    for own, *others in zip(*walks, strict=True):
        clean.append([apart(own.clean, other.clean) for other in others])
        state.append([apart(own.latents, other.latents) for other in others])
        finals = torch.stack([own.after, *(other.after for other in others)])
    return Pairs(np.stack(clean, -1), np.stack(state, -1), finals)


def flips_of(
    readings: Mapping[str, Readings], concepts: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """What each pair shows at the end, a row a noise, pair, family of `concepts` and reader.

    Probabilities (1 + pair, noise, concept) by reader and family; the first are the noises' own.
    """
    for reader, of_reader in readings.items():
        for family in (name for name in concepts if name in of_reader):
            names = np.array(concepts[family])
            own, *others = names[of_reader[family].argmax(-1)]
            for (pair, near), row in product(enumerate(others), range(len(own))):
                yield {
                    **{"row": row, "pair": pair + 1, "family": family, "reader": reader},
                    **{"from": own[row], "to": near[row], "flipped": int(own[row] != near[row])},
                }


def rows_of(
    firsts: Sequence[Step],
    found: Pairs,
    readings: Mapping[str, Readings],
    concepts: Mapping[str, Sequence[str]],
    times: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Rows of rq3_earliest, without model, dataset and sampling; `times` (step,) as `times_of`."""
    count, rows, steps = found.clean.shape
    pair, row, step = (axis.ravel() for axis in np.indices((count, rows, steps)))
    distances = pd.DataFrame(
        {
            **{name: values[step] for name, values in times.items()},
            **{"row": row, "pair": pair + 1},
            "prompt_id": [firsts[number].prompt_id for number in row],
            "seed": [firsts[number].seed for number in row],
            "clean": found.clean.ravel(),
            "state": found.state.ravel(),
        }
    )
    flips = pd.DataFrame(flips_of(readings, concepts), columns=FLIPS)
    return flips.astype({"row": int, "pair": int}).merge(distances, on=["row", "pair"])


def write_earliest(
    path: str,
    *,
    traces: str,
    model: dict[str, Any],
    clip: dict[str, Any],
    readers: Mapping[str, Mapping[str, Any]],
    side: int,
    families: Families,
    settings: Mapping[str, Any],
    keys: dict[str, str],
) -> None:
    """Write a batch's part of rq3_earliest; `settings` is the config's entry.

    All `families` are read, and those that need not be in a picture of the empty prompt left out.
    """
    tree = open_trace(traces)
    denoiser = Denoiser(pipelines.load(model), **replay_settings(tree) | {"guidance": 1.0})
    reading = reading_of(denoiser, clip, readers, families, side)
    concepts = {
        name: reading.concepts[name] for name, of in families.items() if not of["only_named"]
    }
    firsts, pairs = firsts_of(tree, settings["samples"]), settings["pairs"]
    calls = len(firsts) * (1 + pairs) * denoiser.step_count
    print(f"Budget: {len(firsts)} noises, {calls:,} denoiser calls without guidance.", flush=True)
    own = [step.conditioning for step in firsts]
    empty = rewording.with_texts(denoiser.family, own, [("", ())] * len(own))
    frames = []
    for start in range(0, len(firsts), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        together = [
            replace(step, conditioning=of_step)
            for step, of_step in zip(firsts[some], empty[some], strict=True)
        ]
        found = paired(denoiser, together, pairs, settings["distance"])
        shape = found.finals.shape[:2]
        readings = {
            reader: {family: read.reshape(*shape, -1) for family, read in of_reader.items()}
            for reader, of_reader in reading(found.finals.flatten(0, 1)).items()
        }
        frames.append(rows_of(together, found, readings, concepts, times_of(tree)))
    frame = pd.concat(frames).assign(**keys)
    tables.write(path, tables.ordered(frame, "rq3_earliest"))
