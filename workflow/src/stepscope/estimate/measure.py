"""What a model costs on this machine, from a few calls as the jobs make them."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.estimate import trace_size
from stepscope.estimate.timings import (
    FIRST,
    STEPS,
    decoding_seconds,
    explained,
    played,
    refined,
    sampling_of,
    size_of,
    timed,
    traced,
)
from stepscope.models import devices, folders, judges, memory, pipelines, weight_files
from stepscope.pictures import decode

if TYPE_CHECKING:
    from open_clip import CLIP

# For models that are not at hand; written by tests/benchmarks/bench_sd1.py.
SHIPPED = Path(__file__).with_name("benchmark.json")


class Measurement(TypedDict):
    """What a model costs: seconds of each thing that jobs do, bytes in memory, whence they are.

    A guided call is timed as `generate` makes it (`tracing`), and by name as a method does
    (`methods`), where this was timed. `playing` is a state of a game: its call, its picture and
    what is read of it; `judging` a picture that a judge reads; `loading` the model's own part of a
    job's start; `sample` the peak of a sample, as it is traced and its picture decoded.
    """

    dtype: str
    loading: float
    tracing: float
    methods: dict[str, float]
    playing: float
    decoding: float
    judging: float
    geometry: trace_size.Geometry
    weights: int
    sample: float
    label: str


def measure(
    spec: dict[str, Any],
    config: dict[str, Any],
    prompts: Mapping[str, Sequence[dict[str, Any]]],
    judge: Callable[[], tuple["CLIP", float]],
) -> Measurement:
    """Seconds, geometry and bytes in memory of a model, for the `prompts` of a study by dataset.

    `judge` gives the CLIP that reads its pictures, and the seconds of one. A model that was not
    fetched is taken for Stable Diffusion 1, of which figures are shipped. A `folder` without a
    model raises ValueError.
    """
    try:
        folder = folders.folder_of(spec)
    except ValueError:
        if "folder" in spec:
            raise
        return shipped(spec, config, judge()[1])
    loading, pipeline = timed(lambda: pipelines.load(spec))
    family, texts = pipelines.load_texts(spec)
    together = size_of(config["storage"]["forward_batch"])
    records = list(islice(cycle(row for rows in prompts.values() for row in rows), together))
    with memory.Peak(devices.device()) as peak:
        first, trace = timed(lambda: traced(pipeline, records, config, FIRST))
        latents = trace.latents[:, -1]
        decoding = decoding_seconds(pipeline, latents) / together
    tracing = refined(
        first / (FIRST * together),
        STEPS * together,
        lambda: traced(pipeline, records, config, STEPS),
    )
    rows = torch.stack(list(islice(cycle(latents), decode.TOGETHER)))
    decoding = refined(decoding, len(rows), lambda: decoding_seconds(pipeline, rows))
    denoiser = Denoiser(
        pipeline,
        sampling=sampling_of(FIRST),
        scheduler=config["scheduler"],
        guidance=config["guidance"],
    )
    clip, judging = judge()  # after memory was measured
    denoiser.judge = judges.clip_features(clip)
    state, batch = tracing + decoding + judging, config["games"]["batch"]
    lengths = [text.length for text in texts]
    files = folders.check_folder(folder, spec.get("variant"))
    geometry = trace_size.of_folder(folder, family, lengths, config["height"], config["width"])
    return {
        "dtype": spec["dtype"],
        "loading": loading,
        "tracing": tracing,
        "methods": dict(explained(denoiser, trace, config["explain"], tracing)),
        "playing": played(denoiser, trace, batch, clip, state),
        "decoding": decoding,
        "judging": judging,
        "geometry": trace_size.counted(geometry, trace.audit),
        "weights": weight_files.parameters(files) * bytes_each(spec),
        "sample": peak.bytes / together,
        "label": f"measured on {devices.device().type}",
    }


def shipped(spec: dict[str, Any], config: dict[str, Any], judging: float) -> Measurement:
    """What a model that is not at hand is taken for."""
    figures = json.loads(SHIPPED.read_text(encoding="utf-8"))
    tracing, decoding = 1 / figures["rate"], 1 / figures["decoding"]
    return {
        "dtype": spec["dtype"],
        "loading": 0.0,
        "tracing": tracing,
        "methods": {},
        "playing": tracing + decoding + judging,
        "decoding": decoding,
        "judging": judging,
        "geometry": trace_size.stable_diffusion_1(config["height"], config["width"]),
        "weights": figures["parameters"] * bytes_each(spec),
        "sample": figures["sample"] * bytes_each(spec) / 4,
        "label": f"shipped, not measured: {figures['label']}; no GPU was at hand",
    }


def bytes_each(spec: dict[str, Any]) -> int:
    """Bytes of a weight in memory."""
    return 4 if spec["dtype"] == "float32" else 2
