"""Seconds of what jobs do with a model: a few calls of each kind, made as the jobs make them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.nulls import GaussianNull
from stepscope.diffusion.step import Step
from stepscope.methods import batches
from stepscope.methods.explain import FORWARD_BATCH
from stepscope.methods.method import parameters_of
from stepscope.models import autoencoder, devices, judges, memory
from stepscope.scores import concepts, playing
from stepscope.scores.game_scores import SCORES
from stepscope.tracing.call import heads_format, trace_prompts
from stepscope.tracing.trace import Trace, steps_of

if TYPE_CHECKING:
    from open_clip import CLIP

Result = TypeVar("Result")

FIRST, STEPS = 2, 10  # of a trace that prepares what others use, and of the one that is timed
SHORT = 1.0  # seconds up to which a figure is taken twice
LONGEST = 5.0  # seconds that one figure may take: a large network is as fast in smaller batches


def sampling_of(steps: int) -> dict[str, Any]:
    """The sampling of what is traced to be timed."""
    return {"kind": "uniform", "steps": steps}


def size_of(forward_batch: int | str) -> int:
    """Of a forward batch; one that memory decides is taken for the config's default."""
    return FORWARD_BATCH if isinstance(forward_batch, str) else forward_batch


def refined(rough: float, count: float, run: Callable[[], object]) -> float:
    """Seconds of each of `count` things that `run` does together; `rough` where that takes long.

    Of a short one a second run counts, since the first prepares what later ones use.
    """
    if not count or count * rough > LONGEST:
        return rough
    seconds, _ = timed(run)
    return (min(seconds, timed(run)[0]) if seconds < SHORT else seconds) / count


def timed(run: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds and result of a function; while another process has the core does not count."""
    alone = devices.device().type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    start = clock()
    result = run()
    return clock() - start, result


def traced(
    pipeline: DiffusionPipeline,
    records: Sequence[dict[str, Any]],
    config: dict[str, Any],
    steps: int,
) -> Trace:
    """Trace of a forward batch of prompt records."""
    return trace_prompts(
        pipeline,
        [record["prompt"] for record in records],
        list(range(len(records))),
        sampling=sampling_of(steps),
        scheduler=config["scheduler"],
        roles=[record["roles"] for record in records],
        guidance=config["guidance"],
        negative_prompt=config["negative_prompt"],
        height=config["height"],
        width=config["width"],
        heads=heads_format(config["storage"]),
    )


def explained(
    denoiser: Denoiser, trace: Trace, entries: Mapping[str, dict[str, Any]], rough: float
) -> Iterator[tuple[str, float]]:
    """Seconds of a guided call of each method that replays and says its calls, at its own batch.

    `rough` is what a call takes at least about.
    """
    objects = torch.ones(trace.latents.shape[-2:])
    of_samples = [steps_of(trace, sample, mask=objects) for sample in range(len(trace.latents))]
    every = [
        replace(step, heads={"": ()})  # as if some were chosen
        for together in zip(*of_samples, strict=True)
        for step in together
    ]
    channels, height, width = trace.latents.shape[-3:]
    white = np.tile(np.eye(channels, dtype=complex), (height, width, 1, 1))
    null = GaussianNull(denoiser, np.zeros(channels), white)
    for name, entry in entries.items():
        function, parameters = parameters_of(entry)
        if not getattr(function, "replays", True) or not hasattr(function, "calls"):
            continue
        of = null if "denoiser" in entry else denoiser
        call = batches.Explaining(name, function, of, parameters)
        size = size_of(entry.get("forward_batch", FORWARD_BATCH)) if call.together else 1
        steps = list(islice(cycle(every), size))
        calls = sum(function.calls(len(step.words), parameters) for step in steps)

        def run(call: Any = call, steps: list[Step] = steps) -> None:
            list(batches.results(call, steps, len(steps), memory.Fitting()))

        yield name, refined(rough, calls, run)


def played(denoiser: Denoiser, trace: Trace, batch: int, clip: "CLIP", rough: float) -> float:
    """Seconds of a state of the games at their batch; `rough` is what it takes about."""
    state = steps_of(trace, 0)[0]
    states, features_of = [(state, state.latent)] * batch, judges.clip_features(clip)

    @torch.inference_mode()
    def run() -> None:
        playing.results(denoiser, states, SCORES, features_of)["features"].cpu()

    return refined(rough, batch, run)


def measure_judge(spec: dict[str, Any], side: int) -> tuple["CLIP", float]:
    """The CLIP that reads a study's pictures, and seconds of one of `side` pixels.

    One that is published by name is read with random weights, which take as long.
    """
    if "folder" in spec:
        clip, preprocess, _ = judges.load_clip(spec)
    else:
        import open_clip  # here, since it takes seconds to import

        made, _, preprocess = open_clip.create_model_and_transforms(spec["name"])
        clip = made.to(devices.device()).eval()

    def read(pictures: int) -> None:
        black = np.zeros((pictures, side, side, 3), np.uint8)
        concepts.features(clip, preprocess, black)

    rough = refined(0.0, 1, lambda: read(1))
    return clip, refined(rough, concepts.TOGETHER, lambda: read(concepts.TOGETHER))


def decoding_seconds(pipeline: DiffusionPipeline, latents: Tensor) -> float:
    """Seconds of decoding clean latents (B, C, h, w) into pictures that are on the CPU."""

    @torch.inference_mode()
    def run() -> None:
        autoencoder.decode(pipeline, latents.to(pipeline._execution_device)).cpu()

    return timed(run)[0]
