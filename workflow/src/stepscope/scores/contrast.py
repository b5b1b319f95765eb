"""RQ3: what early and latter sampling change against the uniform one, from the same noise."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.diffusion.walk import walk
from stepscope.models import pipelines
from stepscope.scores.emergence import named
from stepscope.scores.frequencies import BANDS, bands
from stepscope.scores.sampling_judges import Judges, Seen
from stepscope.store import tables
from stepscope.store.maps import open_previews
from stepscope.store.traces import (
    final_latents,
    open_trace,
    prompt_ids_of,
    prompts_of,
    read_step,
    replay_settings,
    seeds_of,
)

PUBLISHED, MATCHED = "published", "matched"  # ends of an exponential sampling
LEAST = 1e-12  # energy that is still counted


class Made(NamedTuple):
    """Final latents (sample, C, h, w) and pictures (sample, y, x, rgb) u1 of some samples."""

    latents: np.ndarray
    pictures: np.ndarray


def spread(tree: xr.DataTree, samples: int | None) -> list[int]:
    """Indices of some samples: the first of each prompt, evenly over the prompts of a batch.

    More than there are prompts takes second ones too. Any beginning of them is spread alike.
    """
    ids = list(prompt_ids_of(tree))
    ranks = pd.Series(ids).groupby(ids).cumcount()
    halves = [f"{number:b}"[::-1] for number in range(len(ids))]  # the order of van der Corput
    order = sorted(range(len(ids)), key=lambda number: (ranks[number], halves[number]))
    return order[:samples]


def band_energies(latents: np.ndarray) -> np.ndarray:
    """Energy of latents (sample, C, h, w) in each third of the frequencies, (sample, band) f8.

    The corners beyond the Nyquist radius are high, the mean is low, as in rq1_recovery.
    """
    power = np.abs(np.fft.fft2(latents.astype(np.float64))) ** 2
    return np.einsum("nchw,bhw->nb", power, bands(latents.shape[-2:]).astype(float))


def distances(latents: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Squared distance of latents to a reference over its energy, (sample, band); no unit."""
    return band_energies(latents - reference) / np.maximum(band_energies(reference), LEAST)


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 - intersection over union of object masks (sample, y, x) bool; 0 where both are empty."""
    both, either = (first & second).sum((1, 2)), (first | second).sum((1, 2))
    return np.where(either > 0, 1 - both / np.maximum(either, 1), 0.0)


def total_variation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Total variation distance of probabilities (sample, concept), in 0..1."""
    return np.abs(first - second).sum(-1) / 2


def rows(
    made: Made,
    seen: Seen,
    uniform: Made,
    seen_uniform: Seen,
    reference: np.ndarray,
    named_in: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """What one sampling's pictures are, and change against those of the uniform one.

    Columns row (of the sample), measure, part, reader, value, change. Measures: layout (1 -
    intersection over union of where objects are); concept (value: probability of what the prompt
    names, change: total variation distance over the family); detail (logarithm of the picture's
    energy in its highest third of frequencies); distance (squared, of the final latent to that of
    `reference` (known, C, h, w), over its energy, by band, of the first samples, whose it is).
    `named_in` (sample, concept) bool has what each prompt names of a family.
    """
    frames = []

    def add(measure: str, part: str, reader: str, value: Any, change: np.ndarray) -> None:
        numbers = {"value": value, "change": change, "row": np.arange(len(change))}
        frames.append(pd.DataFrame(numbers).assign(measure=measure, part=part, reader=reader))

    if seen.objects is not None and seen_uniform.objects is not None:
        moved = apart(seen.objects, seen_uniform.objects)
        add("layout", "objects", "segmenter", np.nan, moved)
    for (reader, family), probability in seen.probabilities.items():
        is_named = named_in[family]
        shown = np.where(is_named.any(1), (probability * is_named).sum(1), np.nan)
        moved = total_variation(probability, seen_uniform.probabilities[(reader, family)])
        add("concept", family, reader, shown, moved)
    own, even = (_detail(of.pictures) for of in (made, uniform))
    add("detail", BANDS[-1], "", own, own - even)
    known = len(reference)
    own, even = (distances(of.latents[:known], reference) for of in (made, uniform))
    for number, band in enumerate(BANDS):
        add("distance", band, "", own[:, number], own[:, number] - even[:, number])
    return pd.concat(frames, ignore_index=True)


def _detail(pictures: np.ndarray) -> np.ndarray:
    """Natural logarithm of the highest third's energy of pictures (sample, y, x, rgb) u1."""
    energies = band_energies(pictures.transpose(0, 3, 1, 2) / 255)
    return np.log(np.maximum(energies[:, -1], LEAST))


def write_contrast(
    path: str,
    *,
    traces: Mapping[str, str],
    previews: Mapping[str, str],
    samplings: Mapping[str, Mapping[str, Any]],
    model: dict[str, Any],
    ground: dict[str, Any],
    clip: dict[str, Any],
    reader: tuple[str, Mapping[str, Any]] | None,
    concept_families: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    keys: dict[str, str],
) -> None:
    """Write a batch's part of rq3_samplings, of the samplings whose stores are given by name.

    The sampling of `keys` is the uniform one, against which the others are held.
    """
    uniform = keys["sampling"]
    tree = open_trace(traces[uniform])
    chosen = spread(tree, settings["samples"])
    firsts = [read_step(tree, sample, 1) for sample in chosen]
    pipeline, replay = pipelines.load(model), replay_settings(tree)
    denser = {name: dict(entry) for name, entry in samplings.items() if name != uniform}
    many, known = settings["reference"]["steps"], firsts[: settings["reference"]["samples"]]
    calls = len(firsts) * sum(entry["steps"] for entry in denser.values()) + len(known) * many
    print(f"Budget: {len(chosen)} samples, {calls:,} guided denoiser calls.")

    def sampled(sampling: Mapping[str, Any], firsts: Sequence[Step]) -> Made:
        denoiser = Denoiser(pipeline, **replay | {"sampling": dict(sampling)})
        return _made(denoiser, firsts)

    made = {
        (name, PUBLISHED if name != uniform else ""): _stored(traces[name], previews[name], chosen)
        for name in samplings
    }
    for name, entry in denser.items():
        if entry.get("end") == "uniform":  # its own ends are matched
            made[(name, MATCHED)] = made.pop((name, PUBLISHED))
        else:
            made[(name, MATCHED)] = sampled(entry | {"end": "uniform"}, firsts)
    reference = sampled({"kind": "uniform", "steps": many}, known).latents
    judged = Judges(ground, clip, reader, concept_families)
    prompts = [prompts_of(tree)[sample] for sample in chosen]
    named_in = {name: named(prompts, of["concepts"]) for name, of in concept_families.items()}
    seen = {which: judged.see(of.pictures) for which, of in made.items()}
    who = pd.DataFrame({"prompt_id": prompt_ids_of(tree)[chosen], "seed": seeds_of(tree)[chosen]})
    even, frames = (uniform, ""), []
    for (name, ends), of in made.items():
        found = rows(of, seen[(name, ends)], made[even], seen[even], reference, named_in)
        found = found.join(who, on="row").assign(**keys | {"sampling": name}, ends=ends)
        frames.append(found[_is_read(found, named_in, concept_families)])
    tables.write(path, tables.ordered(pd.concat(frames, ignore_index=True), "rq3_samplings"))


def _is_read(
    found: pd.DataFrame,
    named_in: Mapping[str, np.ndarray],
    concept_families: Mapping[str, Mapping[str, Any]],
) -> np.ndarray:
    """Rows of families that are read in every picture, or whose prompt names one of them."""
    return np.array(
        [
            measure != "concept"
            or not concept_families[part]["only_named"]
            or named_in[part][row].any()
            for measure, part, row in found[["measure", "part", "row"]].itertuples(index=False)
        ]
    )


def _made(denoiser: Denoiser, firsts: Sequence[Step]) -> Made:
    """What a denoiser's sampling makes from the noise of the first steps."""
    latents = walk(denoiser, firsts)
    with torch.inference_mode():
        pictures = denoiser.decode(latents).clamp(0, 1).mul(255).round().byte()
    return Made(latents.cpu().float().numpy(), pictures.permute(0, 2, 3, 1).cpu().numpy())


def _stored(traces: str, previews: str, chosen: Sequence[int]) -> Made:
    """What a stored sampling made of some samples."""
    pictures = open_previews(previews)["image"].isel(sample=list(chosen)).to_numpy()
    return Made(final_latents(open_trace(traces))[list(chosen)].astype(np.float32), pictures)
