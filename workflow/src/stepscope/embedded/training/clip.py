"""Train a small CLIP of composed scenes in open_clip's own format."""

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from stepscope.embedded import captions, details, scenes
from stepscope.embedded.training import judges, pipeline
from stepscope.embedded.training.conversion import to_tensor
from stepscope.embedded.training.loop import scene_pool, step_rng, write_card

CONTEXT = 40  # tokens of open_clip for the longest caption
# Several wordings of each family, so that a probe may choose its own.
TEMPLATES = {
    "object": ("a {}", "{}", "a picture of a {}", "a picture with a {}"),
    "colour": ("a {} background", "on a {} background", "{}"),
    "texture": ("a {} background", "on a {} background", "{}"),
    "size": ("a {} object", "{}", "a picture of a {} object"),
    "relation": ("one object {} another", "{}", "a picture of one object {} another"),
    "frame": ("a {} frame", "with a {} frame", "{}"),
    "tint": ("a {} mark", "with a {} mark", "{}"),
    "mark": ("a {}", "with a {}", "{}"),
    "seal": ("a {} seal", "with a {} seal", "{}"),
}


def model_config(settings: dict[str, Any]) -> dict[str, Any]:
    """The model part of an `open_clip_config.json`: a ResNet and a text transformer."""
    return {
        "embed_dim": settings["embed_dim"],
        "vision_cfg": {
            "image_size": scenes.SIDE,
            "layers": list(settings["vision_layers"]),
            "width": settings["vision_width"],
            "patch_size": None,
        },
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": 49408,
            "width": settings["text_width"],
            "heads": 2,
            "layers": 2,
        },
    }


def build(settings: dict[str, Any], seed: int) -> open_clip.CLIP:
    """A stock `open_clip.CLIP` with seeded initial weights."""
    torch.manual_seed(seed)
    return open_clip.CLIP(**model_config(settings))


def save(model: open_clip.CLIP, folder: Path, settings: dict[str, Any], half: bool = True) -> None:
    """Write a folder that `open_clip.create_model_and_transforms("local-dir:...")` loads."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    config = {"model_cfg": model_config(settings), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {
            name: value.half() if value.is_floating_point() else value
            for name, value in state.items()
        }
    save_file(state, folder / "open_clip_model.safetensors")


def targets(scene: scenes.Scene) -> dict[str, np.ndarray]:
    """Probability of each concept of each family; zeros where the family does not apply."""
    return {
        family: np.array([concept in scenes.concepts(scene.spec, family) for concept in every])
        / np.float32(max(1, len(scenes.concepts(scene.spec, family))))
        for family, every in scenes.FAMILIES.items()
    }


def phrases(rng: np.random.Generator | None = None) -> list[str]:
    """A phrase for every concept of every family; a random wording of each family."""
    wordings = {
        family: choices[rng.integers(len(choices)) if rng else 0]
        for family, choices in TEMPLATES.items()
    }
    return [
        wordings[family].format(concept)
        for family, concepts in scenes.FAMILIES.items()
        for concept in concepts
    ]


@torch.no_grad()
def zero_shot(model: open_clip.CLIP, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Similarity of uint8 pictures (n, 64, 64, 3) to each concept, (n, concepts) per family."""
    words = model.encode_text(open_clip.tokenize(phrases(), CONTEXT), normalize=True)
    parts = [
        model.encode_image(to_tensor(pictures[i : i + 64]), normalize=True) @ words.T
        for i in range(0, len(pictures), 64)
    ]
    sizes = [len(concepts) for concepts in scenes.FAMILIES.values()]
    split = torch.cat(parts).split(sizes, dim=1)
    return {family: part.numpy() for family, part in zip(scenes.FAMILIES, split, strict=True)}


def top_1(
    model: open_clip.CLIP,
    pictures: np.ndarray,
    shown: list[scenes.Scene],
    named: bool = False,
) -> dict[str, float]:
    """Zero-shot accuracy per family; objects on single ones, and whether the top two are a pair.

    With `named`, only of the pictures whose caption names the family.
    """
    similarity, truth = zero_shot(model, pictures), [targets(scene) for scene in shown]
    result = {}
    for family in scenes.FAMILIES:
        wanted = np.stack([target[family] for target in truth])
        rows = wanted.max(1) == 1
        if named and family in captions.OPTIONAL:
            rows &= [family in scene.named for scene in shown]
        best = similarity[family].argmax(1)
        if rows.any():
            result[family] = float(wanted[rows, best[rows]].mean())
    pairs = np.array([len(scene.objects) == 2 for scene in shown])
    if pairs.any():
        wanted = np.stack([target["object"] for target in truth])[pairs]
        two = np.argsort(-similarity["object"][pairs], 1)[:, :2]
        result["both objects"] = float((np.take_along_axis(wanted, two, 1) > 0).all(1).mean())
    return result


def train(
    folder: str | Path,
    state: str | Path,
    pipeline_folder: str | Path,
    *,
    seed: int,
    checkpoint_minutes: float,
    **settings: Any,
) -> dict[str, float]:
    """Train on raw, decoded and blurred pictures, then also on the U-Net's clean predictions.

    `settings`: embed_dim, vision_layers, vision_width, text_width, pool, predicted, detail_weight
    (of the shapes of marks and seals in the loss), steps, of the second phase finetune_pool,
    finetune_seal (strength of its strongest seals), finetune_steps and finetune_rate (share of the
    learning rates), batch, learning_rate, muon_learning_rate, test_scenes. Writes an open_clip
    folder with a card and returns the quality.
    """
    folder, state = Path(folder), Path(state)
    model, denoising = build(settings, seed), pipeline.load(pipeline_folder)
    sizes = [len(concepts) for concepts in scenes.FAMILIES.values()]
    weights = [
        settings["detail_weight"] if family in details.WINDOWS else 1 for family in scenes.FAMILIES
    ]

    @lru_cache(maxsize=1)  # made when a phase has steps left
    def data(predicted: int) -> tuple[judges.Pictures, Tensor]:
        # the first phase finds what is small among few scenes, the second learns it from many
        pool = settings["finetune_pool" if predicted else "pool"]
        seal = settings["finetune_seal"] if predicted else details.WORLD.seal
        made = judges.Pictures(denoising, pool, predicted, seed + 5, seal)
        truth = np.stack([np.concatenate(list(targets(scene).values())) for scene in made.scenes])
        return made, torch.from_numpy(truth)

    def loss(predicted: int, step: int) -> dict[str, Tensor]:
        shown, truth = data(predicted)
        rng = step_rng(seed, step)
        rows = shown.rows(rng, settings["batch"])
        pictures = judges.augment(to_tensor(shown.pictures[rows]), rng)
        image = model.encode_image(pictures, normalize=True)
        texts = [scenes.random_caption(shown.scenes[row].spec, rng)[0] for row in rows]
        text = open_clip.tokenize(phrases(rng) + texts, CONTEXT)
        words = model.encode_text(text, normalize=True)
        similarity = model.logit_scale.exp() * image @ words.T
        wanted = truth[torch.from_numpy(rows)].split(sizes, dim=1)
        by_family = similarity[:, : sum(sizes)].split(sizes, dim=1)
        # a softmax within each family; rows of zeros add nothing
        concept = sum(
            -weight * (target * logits.log_softmax(1)).sum(1).mean()
            for weight, target, logits in zip(weights, wanted, by_family, strict=True)
        )
        same = torch.arange(len(rows))
        whole = similarity[:, sum(sizes) :]
        contrast = F.cross_entropy(whole, same) + F.cross_entropy(whole.T, same)
        return {"loss": concept + 0.25 * contrast, "concept": concept, "contrast": contrast}

    facts, curves = judges.fit_in_two_phases(
        state, "clip", model, loss, settings, seed=seed, checkpoint_minutes=checkpoint_minutes
    )
    save(model, folder, settings)
    test = scene_pool(settings["test_scenes"], seed + 6, "test")
    quality = {
        f"{name}, raw pictures": value
        for name, value in top_1(model, np.stack([scene.picture for scene in test]), test).items()
    }
    quality |= judges.by_log_snr(
        denoising, settings["test_scenes"], seed + 7, partial(top_1, model)
    )
    sections = {
        "Data": {
            "training scenes": settings["pool"],
            "training scenes of the second phase": settings["finetune_pool"],
            "predictions": settings["predicted"],
            "seed": seed,
        },
        "Training": facts,
        "Zero-shot accuracy on held-out combinations": quality,
    }
    summary = 'Load with `open_clip.create_model_and_transforms("local-dir:<this folder>")`.'
    write_card(folder, "CLIP of OpenMoji scenes", summary, sections, curves)
    return quality
