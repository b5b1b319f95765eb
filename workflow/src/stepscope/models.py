"""Loading the models of a study, from a folder or from a pinned revision of a hub repository."""

import fcntl
import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from transformers import (
    AutoConfig,
    AutoTokenizer,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    SegformerForSemanticSegmentation,
)

from stepscope import families
from stepscope.family import Family
from stepscope.words import Text

_claimed = []  # lock files of the GPUs this process holds; closing one would let it go


@functools.cache
def device() -> torch.device:
    """The accelerator at hand (a GPU of one's own, mps) or the CPU."""
    if torch.cuda.is_available():
        index = _claim_gpu()
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _claim_gpu() -> int:
    """Index of a GPU that no other job holds; waits while all are taken.

    A workflow engine counts GPUs but assigns none, and a flag can undo its count.
    """
    waiting = False
    while True:
        for index in range(torch.cuda.device_count()):
            name = f"stepscope-{os.getuid()}-{torch.cuda.get_device_properties(index).uuid}.lock"
            lock = (Path(tempfile.gettempdir()) / name).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                _claimed.append(lock)
                return index
        if not waiting:
            print("Every GPU is in use by another job of this workflow: waiting.", flush=True)
        waiting = True
        time.sleep(1)


def _place(spec: dict) -> tuple[str, dict]:
    """What from_pretrained takes for a spec: {"folder"} or {"repo", "revision"}."""
    if "folder" in spec:
        if not Path(spec["folder"]).is_dir():
            raise ValueError(f"folder: {spec['folder']} is no folder.")
        return spec["folder"], {"local_files_only": True}
    return spec["repo"], {"revision": spec["revision"]}


def _frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Put a model on the device, for inference; gradients flow to inputs, not to weights.

    Convolutions are faster with the channels last, on the CPU and on a GPU.
    """
    model = model.to(device(), memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


def load(spec: dict) -> DiffusionPipeline:
    """Pipeline of {"folder"} or {"repo", "revision"}, with optional "dtype" and "variant".

    Weights stored in half precision become float32 unless ``dtype`` says otherwise. A safety
    checker is left out: its black picture would stand for what the model made.
    """
    family, _ = family_of(spec)
    name, where = _place(spec)
    pipeline = (family.own_pipeline or DiffusionPipeline).from_pretrained(
        name,
        dtype=getattr(torch, spec.get("dtype") or "float32"),
        variant=spec.get("variant"),
        **where,
    )
    if getattr(pipeline, "safety_checker", None) is not None:
        pipeline.safety_checker = None
    for model in pipeline.components.values():
        if isinstance(model, torch.nn.Module):
            _frozen(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def family_of(spec: dict) -> tuple[type[Family], dict]:
    """Family of a pipeline's spec, and the pipeline's model_index.json, without any weights."""
    if "family" in spec:
        families.add(spec["family"])
    name, where = _place(spec)
    index = DiffusionPipeline.load_config(name, **where)
    return families.named(index["_class_name"]), index


def load_texts(spec: dict) -> tuple[type[Family], tuple[Text, ...]]:
    """Family of a pipeline's spec and its tokenizers, in a moment."""
    family, index = family_of(spec)
    name, where = _place(spec)
    tokenizers = {
        part: AutoTokenizer.from_pretrained(name, subfolder=part, **where)
        for parts, _ in family.texts
        for part in parts
        if (index.get(part) or [None])[0] is not None
    }
    return family, family.texts_of(tokenizers)


def load_clip(spec: dict) -> tuple[torch.nn.Module, Callable, Callable]:
    """An open_clip model, its preprocessing and its tokenizer, of {"folder"} or {"name", "tag"}."""
    import open_clip  # here, since it takes seconds to import and most jobs need no CLIP

    if "folder" in spec:
        name = f"local-dir:{spec['folder']}"
        model, _, preprocess = open_clip.create_model_and_transforms(name)
    else:
        name = spec["name"]
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=spec["tag"])
    return _frozen(model), preprocess, open_clip.get_tokenizer(name)


def load_segmenter(spec: dict) -> tuple[SegformerForSemanticSegmentation, dict[int, str]]:
    """A segmenter of {"folder"} or {"repo", "revision"} and the names of its labels."""
    name, where = _place(spec)
    model = SegformerForSemanticSegmentation.from_pretrained(name, **where)
    return _frozen(model), dict(model.config.id2label)


def load_text_segmenter(spec: dict) -> tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]:
    """A CLIPSeg of {"folder"} or {"repo", "revision"}, and what prepares its inputs."""
    name, where = _place(spec)
    kind = AutoConfig.from_pretrained(name, **where).model_type
    if kind != "clipseg":  # the library would fill what is missing with random weights
        raise ValueError(f"ground: {name} is a {kind}, not a clipseg.")
    model = CLIPSegForImageSegmentation.from_pretrained(name, dtype=torch.float32, **where)
    return _frozen(model), CLIPSegProcessor.from_pretrained(name, **where)
