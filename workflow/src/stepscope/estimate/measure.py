"""What one guided call, one decoded picture and one sample of a model cost on this machine."""

import json
import time
from pathlib import Path
from typing import Any, TypedDict

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from stepscope.estimate import trace_size
from stepscope.models import autoencoder, devices, folders, memory, pipelines, weight_files
from stepscope.tracing.call import trace_prompts

# For models that are not at hand; written by tests/benchmarks/bench_sd1.py.
SHIPPED = Path(__file__).with_name("benchmark.json")
CALLS = 20  # guided calls that measure a model
PATIENCE = 60  # seconds after which fewer must do


class Measurement(TypedDict):
    """What a model costs: rates a second, bytes in memory, and how they were found out."""

    dtype: str
    rate: float  # guided calls
    decoding: float  # decoded pictures
    geometry: trace_size.Geometry
    weights: int
    sample: float  # the peak of a sample, as it is traced and its picture decoded
    label: str


def measure(spec: dict[str, Any], config: dict[str, Any]) -> Measurement:
    """Guided calls and decoded pictures a second, geometry, bytes in memory of a model.

    A model that was not fetched is taken for Stable Diffusion 1, of which figures are shipped. A
    `folder` without a model raises ValueError.
    """
    height, width = config["height"], config["width"]
    bytes_each = 4 if spec["dtype"] == "float32" else 2
    try:
        folder = folders.folder_of(spec)
    except ValueError:
        if "folder" in spec:
            raise
        shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
        return {
            "dtype": spec["dtype"],
            "rate": shipped["rate"],
            "decoding": shipped["decoding"],
            "geometry": trace_size.stable_diffusion_1(height, width),
            "weights": shipped["parameters"] * bytes_each,
            "sample": shipped["sample"] * bytes_each / 4,
            "label": f"shipped, not measured: {shipped['label']}; no GPU was at hand",
        }
    pipeline, (family, texts) = pipelines.load(spec), pipelines.load_texts(spec)
    together = config["storage"]["forward_batch"]
    together = min(CALLS, 8 if together == "auto" else together)

    def run(steps: int) -> tuple[float, Tensor]:
        start = time.perf_counter()
        trace = trace_prompts(
            pipeline,
            ["a"] * together,
            list(range(together)),
            sampling={"kind": "uniform", "steps": steps},
            scheduler=config["scheduler"],
            roles=[{}] * together,
            guidance=config["guidance"],
            negative_prompt=config["negative_prompt"],
            height=height,
            width=width,
        )
        return time.perf_counter() - start, trace.latents[:, -1]

    with memory.Peak(devices.device()) as peak:
        first, latents = run(2)  # the first call also prepares what later ones use
        decoding_seconds(pipeline, latents)
    steps = max(2, min(round(CALLS / together), int(2 * PATIENCE / first)))
    files = folders.check_folder(folder, spec.get("variant"))
    return {
        "dtype": spec["dtype"],
        "rate": together * steps / run(steps)[0],
        "decoding": together / decoding_seconds(pipeline, latents),
        "geometry": trace_size.of_folder(
            folder, family, [text.length for text in texts], height, width
        ),
        "weights": weight_files.parameters(files) * bytes_each,
        "sample": peak.bytes / together,
        "label": f"measured: {together * steps} traced calls on {devices.device().type}",
    }


def decoding_seconds(pipeline: DiffusionPipeline, latents: Tensor) -> float:
    """Seconds of decoding clean latents (B, C, h, w) into pictures that are on the CPU."""
    start = time.perf_counter()
    with torch.inference_mode():
        autoencoder.decode(pipeline, latents.to(pipeline._execution_device)).cpu()
    return time.perf_counter() - start
