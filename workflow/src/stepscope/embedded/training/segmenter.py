"""Train the segmenter that finds objects and details in generated pictures."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from stepscope.embedded import scenes
from stepscope.embedded.training import judges, pipeline
from stepscope.embedded.training.conversion import to_tensor
from stepscope.embedded.training.loop import scene_pool, step_rng, write_card

# A detail has one label, with all the words that captions may have for it.
DETAILS = {
    "frame": ("frame",),
    "mark": ("mark", *scenes.FAMILIES["mark"]),
    "seal": ("seal", *scenes.FAMILIES["seal"]),
}
LABELS = ("background", *scenes.OBJECTS, *(", ".join(words) for words in DETAILS.values()))


def build(hidden_sizes: list[int], seed: int) -> SegformerForSemanticSegmentation:
    """A SegFormer with logits on half the picture's side."""
    torch.manual_seed(seed)
    config = SegformerConfig(
        num_encoder_blocks=4,
        depths=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1],
        hidden_sizes=hidden_sizes,
        patch_sizes=[7, 3, 3, 3],
        strides=[2, 2, 2, 2],
        num_attention_heads=[1, 2, 4, 4],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=64,
        classifier_dropout_prob=0.0,
        drop_path_rate=0.0,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    return SegformerForSemanticSegmentation(config)


def label_map(scene: scenes.Scene) -> np.ndarray:
    """Label of every pixel, uint8 (64, 64)."""
    labels = np.zeros((scenes.SIDE, scenes.SIDE), np.uint8)
    for name in scene.objects:
        labels[scene.masks[name]] = LABELS.index(name)
    for detail, words in DETAILS.items():
        labels[scene.masks[getattr(scene.spec, detail)]] = LABELS.index(", ".join(words))
    return labels


def logits(model: SegformerForSemanticSegmentation, pictures: Tensor) -> Tensor:
    """Logits at picture size, float32 (n, labels, 64, 64); pictures in -1..1."""
    small = model(pixel_values=pictures).logits.float()
    return F.interpolate(small, size=pictures.shape[-2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def segment(model: SegformerForSemanticSegmentation, pictures: np.ndarray) -> np.ndarray:
    """Label of every pixel of uint8 pictures (n, 64, 64, 3), uint8 (n, 64, 64)."""
    parts = [logits(model, to_tensor(pictures[i : i + 64])) for i in range(0, len(pictures), 64)]
    return torch.cat(parts).argmax(1).to(torch.uint8).numpy()


def mean_iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean over labels that occur of intersection over union, pixels of all pictures pooled."""
    table = np.bincount(
        truth.ravel().astype(int) * len(LABELS) + predicted.ravel(), minlength=len(LABELS) ** 2
    ).reshape(len(LABELS), -1)
    union = table.sum(0) + table.sum(1) - table.diagonal()
    return float((table.diagonal() / np.maximum(union, 1))[table.sum(1) > 0].mean())


def accuracy(
    model: SegformerForSemanticSegmentation, pictures: np.ndarray, shown: list[scenes.Scene]
) -> dict[str, float]:
    """Mean IoU over labels of what the model finds in pictures of scenes, `mIoU`."""
    truth = np.stack([label_map(scene) for scene in shown])
    return {"mIoU": mean_iou(segment(model, pictures), truth)}


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

    `settings`: hidden_sizes, pool, predicted, steps, finetune_steps, batch, learning_rate,
    muon_learning_rate, finetune_rate (its share in the second phase), test_scenes. Writes a
    transformers folder with a model card and returns the quality.
    """
    folder, state = Path(folder), Path(state)
    model, denoising = build(settings["hidden_sizes"], seed), pipeline.load(pipeline_folder)

    @lru_cache(maxsize=1)  # made when a phase has steps left
    def data(predicted: int) -> tuple[judges.Pictures, Tensor]:
        made = judges.Pictures(denoising, settings["pool"], predicted, seed + 2)
        return made, torch.from_numpy(np.stack([label_map(scene) for scene in made.scenes]))

    def loss(predicted: int, step: int) -> dict[str, Tensor]:
        shown, truth = data(predicted)
        rng = step_rng(seed, step)
        rows = shown.rows(rng, settings["batch"])
        pictures = judges.augment(to_tensor(shown.pictures[rows]), rng)
        labels = truth[torch.from_numpy(rows)].long()
        return {"loss": F.cross_entropy(logits(model, pictures), labels)}

    facts, curves = judges.fit_in_two_phases(
        state, "segmenter", model, loss, settings, seed=seed, checkpoint_minutes=checkpoint_minutes
    )
    model.save_pretrained(folder)
    test = scene_pool(settings["test_scenes"], seed + 3, "test")
    raw = accuracy(model, np.stack([scene.picture for scene in test]), test)
    quality = {f"{name}, raw pictures": value for name, value in raw.items()}
    quality |= judges.by_log_snr(
        denoising, settings["test_scenes"], seed + 4, partial(accuracy, model)
    )
    sections = {
        "Data": {
            "training scenes": settings["pool"],
            "predictions": settings["predicted"],
            "seed": seed,
        },
        "Training": facts,
        "Quality on held-out combinations": quality,
    }
    title = "Segmenter of OpenMoji scenes"
    write_card(
        folder, title, "SegformerForSemanticSegmentation, 64 x 64 RGB in -1..1.", sections, curves
    )
    return quality
