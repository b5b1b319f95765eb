"""What one guided call, one decoded picture and one sample of a model cost on this machine."""

import json
import time
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from stepscope.estimate import trace_size
from stepscope.models import autoencoder, devices, folders, memory, pipelines
from stepscope.tracing.call import trace_prompts

# For models that are not at hand; written by tests/benchmarks/bench_sd1.py.
SHIPPED = Path(__file__).with_name("benchmark.json")
PROBE = 20  # guided calls that measure a model
PATIENCE = 60  # seconds after which fewer must do


def measure(spec: dict, config: dict) -> dict:
    """Guided calls and decoded pictures a second, geometry, bytes in memory of a model.

    Those of the weights, and the peak of a sample, as it is traced and its picture decoded.

    A model that was not fetched is taken for Stable Diffusion 1, of which figures are shipped.
    """
    size = config["height"], config["width"]
    number = 4 if spec["dtype"] == "float32" else 2
    try:
        place = folders.folder_of(spec)
    except ValueError:
        if "folder" in spec:
            raise
        shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
        return {
            "dtype": spec["dtype"],
            "rate": shipped["rate"],
            "decoding": shipped["decoding"],
            "geometry": trace_size.stable_diffusion_1(*size),
            "weights": shipped["parameters"] * number,
            "sample": shipped["sample"] * number / 4,
            "label": f"shipped, not measured: {shipped['label']}; no GPU was at hand",
        }
    pipeline, (family, texts) = pipelines.load(spec), pipelines.load_texts(spec)
    together = config["storage"]["forward_batch"]
    together = min(PROBE, 8 if together == "auto" else together)

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
            height=size[0],
            width=size[1],
        )
        return time.perf_counter() - start, trace.latents[:, -1]

    with memory.Peak(devices.device()) as peak:
        first, latents = run(2)  # the first call also prepares what later ones use
        decoding_seconds(pipeline, latents)
    steps = max(2, min(round(PROBE / together), int(2 * PATIENCE / first)))
    files = folders.check_folder(place, spec.get("variant"))
    return {
        "dtype": spec["dtype"],
        "rate": together * steps / run(steps)[0],
        "decoding": together / decoding_seconds(pipeline, latents),
        "geometry": trace_size.of_folder(place, family, [text.length for text in texts], *size),
        "weights": folders.parameters(files) * number,
        "sample": peak.bytes / together,
        "label": f"measured: {together * steps} traced calls on {devices.device().type}",
    }


def decoding_seconds(pipeline: DiffusionPipeline, latents: Tensor) -> float:
    """Seconds of decoding clean latents (B, C, h, w) into pictures that are on the CPU."""
    start = time.perf_counter()
    with torch.inference_mode():
        autoencoder.decode(pipeline, latents.to(pipeline._execution_device)).cpu()
    return time.perf_counter() - start
