"""Tracing a diffusers pipeline call through its public hooks, without changing its result."""

import contextlib
import inspect
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import DiffusionPipeline

from stepscope import samplings
from stepscope.recording import Trace, Tracer

__all__ = ["Trace", "Tracer", "generate", "trace"]


@contextlib.contextmanager
def trace(
    pipeline: DiffusionPipeline, roles: list[dict[str, str]] | None = None
) -> Iterator[Tracer]:
    """Record the one call of ``pipeline`` made inside the block; ``result()`` is its Trace.

    ``roles`` maps, per prompt, roles to words. Everything hooked is restored when the block ends.
    """
    if getattr(pipeline, "unet", None) is None:
        raise ValueError(f"{type(pipeline).__name__} has no U-Net, which is what trace records.")
    tracer = Tracer(pipeline, roles)
    own = type(pipeline)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracer.probes)
        hook = pipeline.unet.register_forward_hook(tracer.network_called, with_kwargs=True)
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
        theirs = bound.arguments.get("callback_on_step_end")

        def step_end(pipe, index, timestep, tensors):
            changed = {} if theirs is None else theirs(pipe, index, timestep, tensors)
            tracer.step_ended(changed.get("latents", tensors["latents"]))
            return changed

        names = bound.arguments["callback_on_step_end_tensor_inputs"]
        if hasattr(theirs, "tensor_inputs"):
            names = theirs.tensor_inputs
        bound.arguments["callback_on_step_end"] = step_end
        bound.arguments["callback_on_step_end_tensor_inputs"] = [*{*names, "latents"}]
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
    own = pipeline.scheduler
    pipeline.scheduler = samplings.make_scheduler(scheduler, own.config)
    chosen = samplings.timesteps(sampling)
    steps = {"num_inference_steps": sampling["steps"]} if chosen is None else {"timesteps": chosen}
    try:
        with trace(pipeline, roles) as tracer:
            pictures = pipeline(
                prompt=prompts,
                # None and "" differ on XL, where None is what its default, zeros, stands for
                negative_prompt=[negative_prompt] * len(prompts) if negative_prompt else None,
                height=height,
                width=width,
                guidance_scale=guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type="np",
                **steps,
            ).images
        found = tracer.result()
    finally:
        pipeline.scheduler = own
    return (pictures * 255).round().astype(np.uint8), found
