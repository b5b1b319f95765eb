"""RQ3: which concept a step's clean prediction shows, read by a CLIP model, and since when."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from PIL import Image
from torch.nn.functional import normalize

from stepscope.joblog import bar
from stepscope.models import judges
from stepscope.store import tables
from stepscope.store.maps import open_previews, prediction_pictures
from stepscope.store.traces import open_trace, prompt_ids_of, prompts_of
from stepscope.table_registry import SAMPLE, TABLES

TOGETHER = 128  # pictures read at once; a fixed number, so that a rerun gives the same bits


@torch.inference_mode()
def classifier(
    model: torch.nn.Module, tokenizer: Callable, templates: Sequence[str], concepts: Sequence[str]
) -> torch.Tensor:
    """Text features (concept, width) of a family: normalised, averaged over templates, normalised.

    As ``build_zero_shot_classifier`` of open_clip does.
    """
    device = model.logit_scale.device
    rows = []
    for concept in concepts:
        texts = [template.format(concept) for template in templates]
        features = normalize(model.encode_text(tokenizer(texts).to(device)), dim=-1)
        rows.append(normalize(features.mean(0), dim=-1))
    return torch.stack(rows)


@torch.inference_mode()
def features(model: torch.nn.Module, preprocess: Callable, pictures: np.ndarray) -> np.ndarray:
    """Normalised image features (B, width) of pictures (B, y, x, rgb) u1."""
    device = model.logit_scale.device
    found = []
    for start in bar(range(0, len(pictures), TOGETHER), "batches of pictures read"):
        some = pictures[start : start + TOGETHER]
        batch = torch.stack([preprocess(Image.fromarray(each)) for each in some]).to(device)
        found.append(normalize(model.encode_image(batch), dim=-1).cpu().numpy())
    return np.concatenate(found)


def scored(cosines: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability and margin (..., concept) within a family, from cosines (..., concept).

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
    """Find the first index from which ``same`` (..., step) stays true, NaN if never."""
    stays = np.logical_and.accumulate(same[..., ::-1], axis=-1)[..., ::-1]
    return np.where(stays[..., -1], stays.argmax(-1), np.nan)


def named(prompts: Sequence[str], concepts: Sequence[str]) -> np.ndarray:
    """Whether each prompt contains each of the concepts as words, (prompt, concept) bool."""
    padded = [" ".join(["", *re.findall(r"[^\W_]+", each.lower()), ""]) for each in prompts]
    return np.array([[f" {each.lower()} " in text for each in concepts] for text in padded])


def table(probability: np.ndarray, margin: np.ndarray, axes: dict, keys: dict) -> pd.DataFrame:
    """Rows of rq3_concepts of one family from (sample, step, prediction, concept) arrays."""
    dims = ("sample", "step", "prediction", "concept")
    values = xr.Dataset({"probability": (dims, probability), "margin": (dims, margin)}, axes)
    return tables.tidy(values, keys)


def emergence(frame: pd.DataFrame, prompts: Mapping[str, str]) -> pd.DataFrame:
    """rq3_emergence from rq3_concepts: since which step each prediction shows the final concept.

    The final concept of a sample and family is the one on top in the guided prediction of the last
    step, which is the final picture. Onset is the first step from which it stays on top, NaN if
    the prediction shows another concept at its last step. Where the prompt, of ``prompts`` by
    prompt_id, names it beside others of the family, as two objects of a scene, any of them counts:
    all are true of the picture, and which one is on top decides nothing.
    """
    keys = [*SAMPLE, "family"]
    top = frame.loc[frame.groupby([*keys, "prediction", "step"])["probability"].idxmax()]
    last = top[top["prediction"] == "guided"].sort_values("step").groupby(keys)["concept"].last()
    rows = []
    for key, group in top.sort_values("step").groupby([*keys, "prediction"]):
        *sample, family, prediction = key
        final, known = last[(*sample, family)], group["concept"].unique()
        (there,) = named([prompts[sample[SAMPLE.index("prompt_id")]]], [*known, final])
        true = {final, *known[there[:-1]]} if there[-1] else {final}
        first = onset(group["concept"].isin(true).to_numpy())
        when = [np.nan] * 3
        if np.isfinite(first):
            when = group[["step", "timestep", "log_snr"]].iloc[int(first)].tolist()
        rows.append((*sample, prediction, family, final, *when))
    return pd.DataFrame(rows, columns=TABLES["rq3_emergence"].columns)


def probe(
    previews: xr.Dataset,
    prompts: Sequence[str],
    clip: tuple,
    families: dict[str, dict],
    keys: dict[str, str],
) -> pd.DataFrame:
    """rq3_concepts of a batch: every family read in every stored clean prediction.

    ``clip`` is what ``judges.load_clip`` returns. A family with ``only_named`` is read only in
    samples whose prompt names one of its concepts.
    """
    model, preprocess, tokenizer = clip
    pictures = prediction_pictures(previews)
    flat = pictures.to_numpy().reshape(-1, *pictures.shape[3:])
    seen = features(model, preprocess, flat).reshape(*pictures.shape[:3], -1)
    scale = model.logit_scale.detach().exp().item()
    frames = []
    for name, family in families.items():
        texts = classifier(model, tokenizer, family["templates"], family["concepts"])
        probability, margin = scored(seen @ texts.cpu().numpy().T, scale)
        axes = tables.who_and_when(previews) | {
            "prediction": pictures["prediction"].to_numpy(),
            "concept": list(family["concepts"]),
        }
        frame = table(probability, margin, axes, keys).assign(family=name)
        if family["only_named"]:
            frame = frame[named(prompts, family["concepts"]).any(1)[frame["sample"]]]
        frames.append(frame)
    return tables.ordered(pd.concat(frames, ignore_index=True), "rq3_concepts")


def write_concepts(
    concepts: str,
    onsets: str,
    *,
    traces: str,
    previews: str,
    model: dict,
    families: dict[str, dict],
    keys: dict[str, str],
) -> None:
    """Write a batch's parts of rq3_concepts and rq3_emergence."""
    tree = open_trace(traces)
    prompts = prompts_of(tree)
    clip = judges.load_clip({key: value for key, value in model.items() if key != "fingerprint"})
    frame = probe(open_previews(previews), prompts, clip, families, keys)
    tables.write(concepts, frame)
    by_id = dict(zip(prompt_ids_of(tree), prompts, strict=True))
    tables.write(onsets, emergence(frame, by_id))
