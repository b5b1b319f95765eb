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
from huggingface_hub import constants, try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoTokenizer,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    SegformerForSemanticSegmentation,
)

from stepscope import families, folders
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


def place(spec: dict) -> str:
    """Folder of a spec {"folder"} or {"repo", "revision"}.

    A repository's is the one of its pinned revision in the hub's cache, where fetching left it: it
    loads like any other folder, and nothing here asks the network.
    """
    if "folder" in spec:
        if not Path(spec["folder"]).is_dir():
            raise ValueError(f"folder: {spec['folder']} is no folder.")
        return spec["folder"]
    for name in ("model_index.json", "config.json"):
        found = try_to_load_from_cache(spec["repo"], name, revision=spec["revision"])
        if isinstance(found, str):
            return str(Path(found).parent)
    raise ValueError(
        f"repo: {spec['repo']} at {spec['revision']} is not in the hub's cache "
        f"{constants.HF_HUB_CACHE}: the rule fetch_model puts it there, where there is a network."
    )


def load(spec: dict) -> DiffusionPipeline:
    """Pipeline of {"folder"} or {"repo", "revision"}, on the device, for inference.

    Optional: "dtype", "variant", "attention_slicing", "vae_slicing", "offload". A folder that is
    incomplete or holds pickles is refused. Weights stored in half precision become float32 unless
    ``dtype`` says otherwise. A safety checker is left out: its black picture would stand for what
    the model made.
    """
    folder, (family, index) = place(spec), family_of(spec)
    folders.check_folder(folder, spec.get("variant"))
    without = {name: None for name in folders.SKIPPED if name in index}
    if "safety_checker" in without:
        without["requires_safety_checker"] = False
    pipeline = (family.own_pipeline or DiffusionPipeline).from_pretrained(
        folder,
        dtype=getattr(torch, spec.get("dtype") or "float32"),
        variant=spec.get("variant"),
        use_safetensors=True,
        local_files_only=True,
        **without,
    )
    pipeline.set_progress_bar_config(disable=True)
    save_memory(pipeline, spec)
    return pipeline


def save_memory(pipeline: DiffusionPipeline, spec: dict) -> None:
    """Freeze a pipeline, and slice, offload or move it to the device, as its spec says.

    Convolutions are faster with the channels last, on the CPU and on a GPU.
    """
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    for part in parts:
        part.eval().requires_grad_(False)
    if spec.get("attention_slicing"):
        if not any(hasattr(part, "set_attention_slice") for part in parts):
            raise ValueError(f"attention_slicing: {type(pipeline).__name__} does not offer it.")
        pipeline.enable_attention_slicing()
    if spec.get("vae_slicing"):
        pipeline.vae.enable_slicing()
    offload = spec.get("offload")
    if offload and device().type == "cpu":
        print("offload: there is no GPU to offload from, so the model stays in memory.", flush=True)
        offload = None
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device())
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device())
    else:
        for part in parts:
            part.to(device(), memory_format=torch.channels_last)


def _frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Put a model on the device, for inference; gradients flow to inputs, not to weights."""
    return model.to(device()).eval().requires_grad_(False)


def family_of(spec: dict) -> tuple[type[Family], dict]:
    """Family of a pipeline's spec, and the pipeline's model_index.json, without any weights."""
    if "family" in spec:
        families.add(spec["family"])
    folder = Path(place(spec))
    index = folders.read_index(folder)
    return families.named(index.get("_class_name"), f"{folder / 'model_index.json'}: "), index


def load_texts(spec: dict) -> tuple[type[Family], tuple[Text, ...]]:
    """Family of a pipeline's spec and its tokenizers, in a moment."""
    family, index = family_of(spec)
    present = {part: value for part, value in index.items() if value and value != [None, None]}
    tokenizers = {
        part: AutoTokenizer.from_pretrained(place(spec), subfolder=part, local_files_only=True)
        for parts, _ in family.texts
        for part in parts
        if part in present
    }
    return family, family.texts_of(present | tokenizers)


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
    model = SegformerForSemanticSegmentation.from_pretrained(
        place(spec), use_safetensors=True, local_files_only=True
    )
    return _frozen(model), dict(model.config.id2label)


def load_text_segmenter(spec: dict) -> tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]:
    """A CLIPSeg of {"folder"} or {"repo", "revision"}, and what prepares its inputs."""
    folder, options = place(spec), {"local_files_only": True}
    kind = AutoConfig.from_pretrained(folder, **options).model_type
    if kind != "clipseg":  # the library would fill what is missing with random weights
        raise ValueError(f"ground: {folder} is a {kind}, not a clipseg.")
    model = CLIPSegForImageSegmentation.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, **options
    )
    return _frozen(model), CLIPSegProcessor.from_pretrained(folder, **options)
