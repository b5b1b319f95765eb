"""RQ3: which concept a step's clean prediction shows, read by a CLIP model and by other readers."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import torch
import xarray as xr
from PIL import Image
from torch.nn.functional import normalize

from stepscope.joblog import bar
from stepscope.models import judges
from stepscope.scores import readers
from stepscope.scores.emergence import emergence, named
from stepscope.store import tables
from stepscope.store.maps import open_previews, prediction_pictures
from stepscope.store.traces import chosen_steps, open_trace, prompt_ids_of, prompts_of

if TYPE_CHECKING:
    from open_clip import CLIP

# a model with its preprocessing and its tokenizer, as `judges.load_clip` returns them
Reader: TypeAlias = "tuple[CLIP, Callable[..., Any], Callable[..., Any]]"
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


def concepts_table(
    probability: np.ndarray, margin: np.ndarray, axes: Mapping[str, Any], keys: dict[str, str]
) -> pd.DataFrame:
    """Rows of rq3_concepts of a concept family from (sample, step, prediction, concept) arrays."""
    dims = ("sample", "step", "prediction", "concept")
    values = xr.Dataset({"probability": (dims, probability), "margin": (dims, margin)}, axes)
    return tables.tidy(values, keys)


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
    flat, shape = readers.of_samples(pictures, range(pictures.sizes["sample"]))
    seen = features(model, preprocess, flat).reshape(*shape, -1)
    scale = model.logit_scale.detach().exp().item()
    read = {}
    for name, concept_family in concept_families.items():
        texts = classifier(
            model, tokenizer, concept_family["templates"], concept_family["concepts"]
        )
        read[name] = scored(seen @ texts.cpu().numpy().T, scale)
    frame = _rows(read, previews, pictures, prompts, concept_families, keys)
    return tables.ordered(frame.assign(reader=readers.CLIP), "rq3_concepts")


def read_by(
    name: str,
    entry: Mapping[str, Any],
    previews: xr.Dataset,
    samples: Sequence[int],
    prompts: Sequence[str],
    concept_families: Mapping[str, Mapping[str, Any]],
    keys: dict[str, str],
) -> pd.DataFrame:
    """rq3_concepts of a batch by the reader of an entry, in some of its samples.

    Without the rows of probability 0: a reader that names one concept a picture has a row for it.
    """
    previews = previews.isel(sample=list(samples))
    pictures = prediction_pictures(previews)
    flat, shape = readers.of_samples(pictures, range(len(samples)))
    concepts = {family: about["concepts"] for family, about in concept_families.items()}
    read = {}
    for family, probability in readers.read(flat, entry, concepts).items():
        values = probability.reshape(*shape, -1)
        read[family] = values, readers.margins(values)
    chosen = [prompts[sample] for sample in samples]
    frame = _rows(read, previews, pictures, chosen, concept_families, keys)
    return tables.ordered(frame[frame["probability"] > 0].assign(reader=name), "rq3_concepts")


def _rows(
    read: Mapping[str, tuple[np.ndarray, np.ndarray]],
    previews: xr.Dataset,
    pictures: xr.DataArray,
    prompts: Sequence[str],
    concept_families: Mapping[str, Mapping[str, Any]],
    keys: dict[str, str],
) -> pd.DataFrame:
    """Rows of probabilities and margins (sample, step, prediction, concept) by concept family."""
    frames = []
    for name, (probability, margin) in read.items():
        concepts = concept_families[name]["concepts"]
        axes = tables.who_and_when(previews) | {
            "prediction": pictures["prediction"].to_numpy(),
            "concept": list(concepts),
        }
        frame = concepts_table(probability, margin, axes, keys).assign(family=name)
        if concept_families[name]["only_named"]:
            is_read = pd.Series(
                np.any(named(prompts, concepts), axis=1), previews["sample"].to_numpy()
            )
            frame = frame[is_read[frame["sample"]].to_numpy()]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def write_concepts(
    concepts: str,
    onsets: str,
    *,
    traces: str,
    previews: str,
    model: dict[str, Any],
    concept_families: Mapping[str, Mapping[str, Any]],
    others: Mapping[str, Mapping[str, Any]],
    keys: dict[str, str],
) -> None:
    """Write a batch's parts of rq3_concepts and rq3_emergence, by the CLIP and `others` by name."""
    tree = open_trace(traces)
    prompts, stored = prompts_of(tree), open_previews(previews)
    clip = judges.load_clip({key: value for key, value in model.items() if key != "fingerprint"})
    frames = [probe(stored, prompts, clip, concept_families, keys)]
    for name, entry in others.items():
        samples = [sample for sample, _ in chosen_steps(tree, [1], entry["samples"])]
        frames.append(read_by(name, entry, stored, samples, prompts, concept_families, keys))
    frame = pd.concat(frames, ignore_index=True)
    tables.write(concepts, frame)
    by_id = dict(zip(prompt_ids_of(tree), prompts, strict=True))
    families = {name: about["concepts"] for name, about in concept_families.items()}
    tables.write(onsets, emergence(frame, by_id, families))
