"""RQ3: which concept a step's clean prediction shows, read by a CLIP model, and since when."""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import torch
import xarray as xr
from PIL import Image
from torch.nn.functional import normalize

from stepscope.joblog import bar
from stepscope.language import parts
from stepscope.models import judges
from stepscope.store import tables
from stepscope.store.maps import open_previews, prediction_pictures
from stepscope.store.traces import open_trace, prompt_ids_of, prompts_of
from stepscope.table_registry import SAMPLE, TABLES

if TYPE_CHECKING:
    from open_clip import CLIP

# a model with its preprocessing and its tokenizer, as `judges.load_clip` returns them
Reader: TypeAlias = "tuple[CLIP, Callable[..., Any], Callable[..., Any]]"
WHEN = ("step", "timestep", "log_snr")
TOGETHER = 128  # pictures read at once; a fixed number, so that a rerun gives the same bits


@torch.inference_mode()
def classifier(
    model: "CLIP",
    tokenizer: Callable[..., torch.Tensor],
    templates: Sequence[str],
    concepts: Sequence[str],
) -> torch.Tensor:
    """Text features (concept, width) of a concept family, normalised.

    Those of each template are normalised and averaged, as `build_zero_shot_classifier` of open_clip
    does.
    """
    device = model.logit_scale.device
    rows = []
    for concept in concepts:
        texts = [template.format(concept) for template in templates]
        features = normalize(model.encode_text(tokenizer(texts).to(device)), dim=-1)
        rows.append(normalize(features.mean(0), dim=-1))
    return torch.stack(rows)


@torch.inference_mode()
def features(
    model: "CLIP", preprocess: Callable[..., torch.Tensor], pictures: np.ndarray
) -> np.ndarray:
    """Normalised image features (B, width) of pictures (B, y, x, rgb) u1."""
    device = model.logit_scale.device
    batches = []
    for start in bar(range(0, len(pictures), TOGETHER), "batches of pictures read"):
        images = map(Image.fromarray, pictures[start : start + TOGETHER])
        batch = torch.stack([preprocess(image) for image in images]).to(device)
        batches.append(normalize(model.encode_image(batch), dim=-1).cpu().numpy())
    return np.concatenate(batches)


def scored(cosines: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability and margin (..., concept) f8 within a concept family, from cosines of its shape.

    Probabilities are a softmax at the model's logit scale; a margin is a concept's logit minus the
    best of the others', in nats: positive for the one on top only.
    """
    logits = scale * cosines.astype(np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    order = np.sort(logits, axis=-1)
    best = order[..., -1:]
    other = np.where(logits == best, order[..., -2:-1], best)
    return powers / powers.sum(-1, keepdims=True), logits - other


def onset(same: np.ndarray) -> np.ndarray:
    """First index (...) from which `same` (..., step) bool stays true, NaN if never."""
    stays = np.logical_and.accumulate(same[..., ::-1], axis=-1)[..., ::-1]
    return np.where(stays[..., -1], stays.argmax(-1), np.nan)


def named(prompts: Sequence[str], concepts: Sequence[str]) -> np.ndarray:
    """Whether each prompt contains each of the concepts as words, (prompt, concept) bool.

    Compounds count by their parts, on both sides: "polka-dot" names "polka dot", "dog's" a dog.
    """
    texts, wanted = (
        [f" {' '.join(parts(text))} " for text in each] for each in (prompts, concepts)
    )
    return np.array([[bool(name.strip()) and name in text for name in wanted] for text in texts])


def concepts_table(
    probability: np.ndarray, margin: np.ndarray, axes: Mapping[str, Any], keys: dict[str, str]
) -> pd.DataFrame:
    """Rows of rq3_concepts of a concept family from (sample, step, prediction, concept) arrays."""
    dims = ("sample", "step", "prediction", "concept")
    values = xr.Dataset({"probability": (dims, probability), "margin": (dims, margin)}, axes)
    return tables.tidy(values, keys)


def emergence(frame: pd.DataFrame, prompts: Mapping[str, str]) -> pd.DataFrame:
    """rq3_emergence from rq3_concepts: since which step each prediction shows the final concept.

    The final concept of a sample and concept family is the one on top in the guided prediction
    of the last step, which is the final picture. Onset is the first step from which it stays on
    top, NaN if the prediction shows another concept at its last step. Where the prompt, of
    `prompts` by prompt_id, names it beside others of the family, as two objects of a scene, any of
    them counts: all are true of the picture, and which one is on top decides nothing.
    """
    keys = [*SAMPLE, "family"]
    top = frame.loc[frame.groupby([*keys, "prediction", "step"])["probability"].idxmax()]
    last = top[top["prediction"] == "guided"].sort_values("step").groupby(keys)["concept"].last()
    columns = [*keys, "prediction"]
    rows = []
    for values, group in top.sort_values("step").groupby(columns):
        key: dict[str, Any] = dict(zip(columns, values, strict=True))
        final = last[tuple(key[name] for name in keys)]
        true = true_concepts(prompts[key["prompt_id"]], final, group["concept"].unique().tolist())
        first = onset(group["concept"].isin(true).to_numpy())
        times = [np.nan] * len(WHEN)
        if np.isfinite(first):
            times = group[[*WHEN]].iloc[int(first)].tolist()
        onsets = {f"onset_{name}": time for name, time in zip(WHEN, times, strict=True)}
        rows.append(key | {"concept": final} | onsets)
    return pd.DataFrame(rows, columns=TABLES["rq3_emergence"].columns)


def true_concepts(prompt: str, final: str, shown: Sequence[str]) -> set[str]:
    """The final concept, and where the prompt names it, what else it names of what is shown."""
    if not named([prompt], [final]).all():
        return {final}
    (is_named,) = named([prompt], shown)
    return {final, *compress(shown, is_named)}


def probe(
    previews: xr.Dataset,
    prompts: Sequence[str],
    clip: Reader,
    concept_families: Mapping[str, Mapping[str, Any]],
    keys: dict[str, str],
) -> pd.DataFrame:
    """rq3_concepts of a batch: every concept family read in every stored clean prediction.

    A concept family with `only_named` is read only in samples whose prompt names one of its
    concepts.
    """
    model, preprocess, tokenizer = clip
    pictures = prediction_pictures(previews)
    samples, steps, predictions, *picture = pictures.shape
    flat = pictures.to_numpy().reshape(-1, *picture)
    seen = features(model, preprocess, flat).reshape(samples, steps, predictions, -1)
    scale = model.logit_scale.detach().exp().item()
    frames = []
    for name, concept_family in concept_families.items():
        concepts = concept_family["concepts"]
        texts = classifier(model, tokenizer, concept_family["templates"], concepts)
        probability, margin = scored(seen @ texts.cpu().numpy().T, scale)
        axes = tables.who_and_when(previews) | {
            "prediction": pictures["prediction"].to_numpy(),
            "concept": list(concepts),
        }
        frame = concepts_table(probability, margin, axes, keys).assign(family=name)
        if concept_family["only_named"]:
            is_read = np.any(named(prompts, concepts), axis=1)
            frame = frame[is_read[frame["sample"]]]
        frames.append(frame)
    return tables.ordered(pd.concat(frames, ignore_index=True), "rq3_concepts")


def write_concepts(
    concepts: str,
    onsets: str,
    *,
    traces: str,
    previews: str,
    model: dict[str, Any],
    concept_families: Mapping[str, Mapping[str, Any]],
    keys: dict[str, str],
) -> None:
    """Write a batch's parts of rq3_concepts and rq3_emergence."""
    tree = open_trace(traces)
    prompts = prompts_of(tree)
    clip = judges.load_clip({key: value for key, value in model.items() if key != "fingerprint"})
    frame = probe(open_previews(previews), prompts, clip, concept_families, keys)
    tables.write(concepts, frame)
    by_id = dict(zip(prompt_ids_of(tree), prompts, strict=True))
    tables.write(onsets, emergence(frame, by_id))
