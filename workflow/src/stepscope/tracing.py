"""Tracing a diffusers pipeline call through its public hooks, without changing its result."""

import contextlib
import inspect
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import DiffusionPipeline

from stepscope import families, samplings
from stepscope.recording import Trace, Tracer

__all__ = ["Trace", "Tracer", "generate", "trace"]


@contextlib.contextmanager
def trace(
    pipeline: DiffusionPipeline, roles: list[dict[str, str]] | None = None
) -> Iterator[Tracer]:
    """Record the one call of ``pipeline`` made inside the block; ``result()`` is its Trace.

    ``roles`` maps, per prompt, roles to words. Everything hooked is restored when the block ends.
    """
    tracer = Tracer(pipeline, roles)
    own = type(pipeline)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracer.probes)
        network = tracer.family.network
        hook = network.register_forward_hook(tracer.network_called, with_kwargs=True)
        stack.callback(hook.remove)
        # A callback can only be given with the call, and only prepare_latents knows the first
        # latents: for the time of the block the pipeline is of a subclass that passes both on.
        pipeline.__class__ = _listening(own, tracer)
        stack.callback(setattr, pipeline, "__class__", own)
        yield tracer


def _listening(own: type, tracer: Tracer) -> type:
    def call(self, *args, **kwargs):
        bound = inspect.signature(own.__call__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        tracer.begin(bound.arguments)
        tracer.family.listen(bound.arguments, tracer.step_ended)
        pictures = own.__call__(*bound.args, **bound.kwargs)
        tracer.end()
        return pictures

    def prepare_latents(self, *args, **kwargs):
        latents = own.prepare_latents(self, *args, **kwargs)
        tracer.latents.append(latents.cpu())
        return latents

    return type(own.__name__, (own,), {"__call__": call, "prepare_latents": prepare_latents})


def generate(
    pipeline: DiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    *,
    sampling: dict,
    guidance: int | float,
    negative_prompt: str,
    height: int | None,
    width: int | None,
    scheduler: dict,
    roles: list[dict[str, str]],
) -> tuple[np.ndarray, Trace]:
    """Pictures (B, H, W, 3) uint8 and trace of one forward batch, one seeded generator a sample."""
    own, family = pipeline.scheduler, families.of(pipeline)
    pipeline.scheduler = samplings.make_scheduler(scheduler, own.config, sampling)
    steps = samplings.call_arguments(pipeline.scheduler, sampling, family.schedule)
    try:
        with trace(pipeline, roles) as tracer:
            pictures = pipeline(
                prompt=prompts,
                negative_prompt=[negative_prompt or family.negative] * len(prompts)
                if negative_prompt or family.negative is not None
                else None,
                height=height,
                width=width,
                guidance_scale=guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type="np",
                **steps,
                **family.options,
            ).images
        found = tracer.result()
    finally:
        pipeline.scheduler = own
    return (pictures * 255).round().astype(np.uint8), found
