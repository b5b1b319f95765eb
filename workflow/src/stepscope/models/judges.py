"""What judges pictures: loading CLIP models and segmenters, and features of pictures as tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from stepscope import collector
from stepscope.models.devices import device
from stepscope.models.folders import check_segmenter, folder_of
from stepscope.models.loading import load_open_clip, load_part, naming

if TYPE_CHECKING:  # a job needs one of them
    from open_clip import CLIP
    from transformers import (
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        SegformerForSemanticSegmentation,
    )

# pictures (B, 3, y, x) in [0, 1] to features (B, width)
Features: TypeAlias = Callable[[Tensor], Tensor]


@collector.paused()
def load_clip(spec: dict) -> tuple[torch.nn.Module, Callable, Callable]:
    """An open_clip model, its preprocessing and its tokenizer, of {"folder"} or {"name", "tag"}."""
    if "folder" in spec:
        model, preprocess, tokenizer = load_open_clip(Path(folder_of(spec)))
        return _frozen(model), preprocess, tokenizer
    import open_clip  # here, since it takes seconds to import and most jobs need no CLIP

    name, tag = spec["name"], spec["tag"]
    with naming(f"name: {name} with tag {tag}"):
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=tag)
        return _frozen(model), preprocess, open_clip.get_tokenizer(name)


@collector.paused()
def load_segmenter(spec: dict) -> "tuple[SegformerForSemanticSegmentation, dict[int, str]]":
    """A segmenter of {"folder"} or {"repo", "revision"} and the names of its labels."""
    from transformers import SegformerForSemanticSegmentation

    folder = Path(folder_of(spec))
    check_segmenter(folder, "segmenter")
    model = load_part(SegformerForSemanticSegmentation, folder, dtype=torch.float32)
    return _frozen(model), dict(model.config.id2label)


@collector.paused()
def load_text_segmenter(spec: dict) -> "tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]":
    """A CLIPSeg of {"folder"} or {"repo", "revision"}, and what prepares its inputs."""
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    folder = Path(folder_of(spec))
    check_segmenter(folder, "text_segmenter")
    model = load_part(CLIPSegForImageSegmentation, folder, dtype=torch.float32)
    return _frozen(model), load_part(CLIPSegProcessor, folder)


def clip_features(model: "CLIP") -> Features:
    """Image features of an open_clip model, not normalised, from pictures as tensors.

    The model's own preprocessing (shortest side, centre crop, mean and deviation) without rounding
    to bytes: small changes of a picture count.
    """
    config = model.visual.preprocess_cfg
    side = config["size"] if isinstance(config["size"], int) else min(config["size"])
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))

    def features_of(pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        scale = side / min(height, width)
        size = (round(height * scale), round(width * scale))
        if size != (height, width):
            mode = config["interpolation"]
            pictures = F.interpolate(pictures, size=size, mode=mode, antialias=True).clamp(0, 1)
        top, left = ((n - side) // 2 for n in size)
        pictures = pictures[..., top : top + side, left : left + side].float()
        return model.encode_image((pictures - mean.to(pictures)) / std.to(pictures))

    return features_of


def _frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Put a model on the device, for inference; gradients flow to inputs, not to weights."""
    return model.to(device()).eval().requires_grad_(False)
