"""Loading what judges pictures: CLIP models and segmenters."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    SegformerForSemanticSegmentation,
)

from stepscope.models.devices import device
from stepscope.models.folders import folder_of, weights


def load_clip(spec: dict) -> tuple[torch.nn.Module, Callable, Callable]:
    """An open_clip model, its preprocessing and its tokenizer, of {"folder"} or {"name", "tag"}."""
    import open_clip  # here, since it takes seconds to import and most jobs need no CLIP

    if "folder" in spec:
        config = Path(spec["folder"], "open_clip_config.json")
        if not config.is_file():
            raise ValueError(f"probe/model/folder: {config} is missing.")
        name = f"local-dir:{spec['folder']}"
        model, _, preprocess = open_clip.create_model_and_transforms(name)
    else:
        name = spec["name"]
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=spec["tag"])
    return _frozen(model), preprocess, open_clip.get_tokenizer(name)


def load_segmenter(spec: dict) -> tuple[SegformerForSemanticSegmentation, dict[int, str]]:
    """A segmenter of {"folder"} or {"repo", "revision"} and the names of its labels."""
    model = SegformerForSemanticSegmentation.from_pretrained(
        _checked(spec, "segformer"), use_safetensors=True, local_files_only=True
    )
    return _frozen(model), dict(model.config.id2label)


def load_text_segmenter(spec: dict) -> tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]:
    """A CLIPSeg of {"folder"} or {"repo", "revision"}, and what prepares its inputs."""
    folder, options = _checked(spec, "clipseg"), {"local_files_only": True}
    model = CLIPSegForImageSegmentation.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, **options
    )
    return _frozen(model), CLIPSegProcessor.from_pretrained(folder, **options)


def _checked(spec: dict, kind: str) -> Path:
    """A segmenter's folder; the library would fill what is missing there with random weights."""
    folder = Path(folder_of(spec))
    if not (folder / "config.json").is_file():
        raise ValueError(f"ground: {folder / 'config.json'} is missing.")
    kind_there = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if kind_there != kind:
        raise ValueError(f"ground: {folder} is a {kind_there}, not a {kind}.")
    weights(folder, "transformers")
    return folder


def _frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Put a model on the device, for inference; gradients flow to inputs, not to weights."""
    return model.to(device()).eval().requires_grad_(False)
