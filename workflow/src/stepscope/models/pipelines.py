"""Loading a study's pipelines, from a folder or from a pinned revision of a hub repository."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from transformers import AutoTokenizer

from stepscope.models import folders, processes
from stepscope.models.devices import device
from stepscope.models.families import registry
from stepscope.models.families.base import Family
from stepscope.models.folders import folder_of
from stepscope.models.words import Text


def load(spec: dict[str, Any]) -> DiffusionPipeline:
    """Pipeline of {"folder"} or {"repo", "revision"}, on the device, for inference.

    Optional: "dtype", "variant", "attention_slicing", "vae_slicing", "offload". A folder that is
    incomplete or holds pickles is refused. Weights stored in half precision become float32 unless
    `dtype` says otherwise. A safety checker is left out: its black picture would stand for what
    the model made.
    """
    folder, (family, index) = folder_of(spec), read_family(spec)
    folders.check_folder(folder, spec.get("variant"))
    without: dict[str, Any] = {name: None for name in folders.SKIPPED if name in index}
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
            part.to(device()).to(memory_format=torch.channels_last)


def read_family(spec: dict) -> tuple[type[Family], dict]:
    """Family of a pipeline's spec, and the pipeline's model_index.json, without any weights."""
    if "family" in spec:
        registry.add(spec["family"])
    folder = Path(folder_of(spec))
    index = folders.read_index(folder)
    processes.read(folder)  # what is neither known as a diffusion nor as a flow is refused
    return registry.named(index.get("_class_name"), f"{folder / 'model_index.json'}: "), index


def load_texts(spec: dict) -> tuple[type[Family], tuple[Text, ...]]:
    """Family of a pipeline's spec and its tokenizers, in a moment."""
    family, index = read_family(spec)
    present = {part: value for part, value in index.items() if value and value != [None, None]}
    tokenizers = {
        part: AutoTokenizer.from_pretrained(folder_of(spec), subfolder=part, local_files_only=True)
        for parts, _ in family.texts
        for part in parts
        if part in present
    }
    return family, family.texts_of(present | tokenizers)
