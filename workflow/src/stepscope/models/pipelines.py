"""Loading a study's pipelines, from a folder or from a pinned revision of a hub repository."""

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from stepscope import collector
from stepscope.models import folders, processes
from stepscope.models.devices import device
from stepscope.models.families import registry
from stepscope.models.families.base import Family
from stepscope.models.folders import folder_of
from stepscope.models.loading import class_of, load_part, load_parts, naming
from stepscope.models.words import Text


@collector.paused()  # it imports the classes of all parts
def load(spec: dict[str, Any]) -> DiffusionPipeline:
    """Pipeline of {"folder"} or {"repo", "revision"}, on the device, for inference.

    Optional: "dtype", "variant", "attention_slicing", "vae_slicing", "offload". A folder that is
    incomplete or holds pickles is refused, and so is a part whose weights are not exactly those of
    its files. Weights stored in half precision become float32 unless
    `dtype` says otherwise. A safety checker is left out: its black picture would stand for what
    the model made.
    """
    folder, (family, index) = Path(folder_of(spec)), read_family(spec)
    folders.check_folder(folder, spec.get("variant"))
    file, dtype = folder / "model_index.json", getattr(torch, spec.get("dtype") or "float32")
    named = {name for name, _, _ in folders.components(folder)}
    kind = family.own_pipeline or class_of("diffusers", index["_class_name"], str(file))
    _check_parts(kind, {*named, *family.left_out(named)}, file)
    without: dict[str, Any] = {name: None for name in folders.SKIPPED if name in index}
    if "safety_checker" in without:
        without["requires_safety_checker"] = False
    parts = load_parts(folder, dtype, spec.get("variant"))
    with naming(file):
        pipeline = kind.from_pretrained(
            str(folder), local_files_only=True, **family.left_out(named), **parts, **without
        )
    pipeline.set_progress_bar_config(disable=True)
    save_memory(pipeline, spec)
    return pipeline


def _check_parts(kind: Any, named: Collection[str], file: Path) -> None:
    """Refuse a pipeline without a part that its class needs."""
    arguments = inspect.signature(kind.__init__).parameters.values()
    needed = [each.name for each in arguments if each.default is each.empty and each.name != "self"]
    for name in needed:
        if name not in {*named, *folders.SKIPPED, *kind._optional_components}:
            raise ValueError(f"{file}: {kind.__name__} needs {name}, which is left out.")


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
    return registry.named(index["_class_name"], f"{folder / 'model_index.json'}: "), index


def load_texts(spec: dict) -> tuple[type[Family], tuple[Text, ...]]:
    """Family of a pipeline's spec and its tokenizers, in a moment."""
    from transformers import AutoTokenizer  # here, since replay reads no prompt

    family, _ = read_family(spec)
    folder = Path(folder_of(spec))
    present: dict[str, Any] = {name: part for name, *part in folders.components(folder)}
    tokenizers = {
        part: load_part(AutoTokenizer, folder / part)
        for parts, _ in family.texts
        for part in parts
        if part in present
    }
    return family, family.texts_of(present | tokenizers)
