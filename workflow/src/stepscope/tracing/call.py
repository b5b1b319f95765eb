"""Tracing a diffusers pipeline call through its public hooks, without changing its result."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline

from stepscope.diffusion import samplings
from stepscope.models.families import registry
from stepscope.tracing.trace import Trace
from stepscope.tracing.tracer import Path, Roles, Tracer

# To see what a call gives or needs; with one step, some pipelines expect a distilled model.
SHORTEST = {"kind": "uniform", "steps": 2}


@contextlib.contextmanager
def trace(
    pipeline: DiffusionPipeline,
    roles: Roles = None,
    path: Path | None = None,
    heads: torch.dtype | None = None,
) -> Iterator[Tracer]:
    """Record the one call of `pipeline` made inside the block; `result()` is its Trace.

    `roles` maps, per prompt, roles to words; of a single prompt the mapping alone will do. `path`
    makes, from the call's first noise, latents before each step and after the last that take the
    place of the sampler's, as far as it has any. `heads` is the number format in which attention is
    kept by head, too; None keeps its mean alone. Everything hooked is restored when the block ends.

    The call returns bit by bit what it returns untraced, on the same machine, with a batch of the
    same shape and the weights in the same memory layout (`stepscope.load` puts the channels last).
    What is known to have no replay is a ValueError before the call runs.
    """
    tracer = Tracer(pipeline, roles, path, heads)
    if any(
        isinstance(getattr(hook, "__self__", None), Tracer)
        for hook in tracer.family.network._forward_hooks.values()
    ):
        raise ValueError(
            "trace: the network of this pipeline is being traced already; a block records one call "
            "and holds no other block, so end the outer one first."
        )
    own = type(pipeline)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracer.hooks)
        network = tracer.family.network
        hook = network.register_forward_hook(tracer.network_called, with_kwargs=True)
        stack.callback(hook.remove)
        # A callback can only be given with the call, and only prepare_latents knows the first
        # latents: for the time of the block the pipeline is of a subclass that passes both on.
        pipeline.__class__ = _listening(own, tracer)
        stack.callback(setattr, pipeline, "__class__", own)
        yield tracer


def _listening(own: Any, tracer: Tracer) -> type:
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
        return tracer.begun(latents)

    return type(own.__name__, (own,), {"__call__": call, "prepare_latents": prepare_latents})


def heads_format(storage: Mapping[str, Any]) -> torch.dtype | None:
    """Number format in which a study keeps attention by head; None if it keeps the mean alone."""
    return getattr(torch, storage["derived"]) if storage["attention"] == "heads" else None


def trace_prompts(
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
    roles: Roles,
    path: Path | None = None,
    heads: torch.dtype | None = None,
) -> Trace:
    """Trace of one forward batch, one seeded generator a sample; pictures are not decoded.

    `path` and `heads` are those of `trace`.
    """
    own, family = pipeline.scheduler, registry.family_of(pipeline)
    height, width = family.size(height, width)
    pipeline.scheduler = samplings.make_scheduler(scheduler, own, sampling)
    steps = samplings.call_arguments(pipeline.scheduler, sampling, family.schedule)
    try:
        with trace(pipeline, roles, path, heads) as tracer:
            pipeline(
                prompt=prompts,
                negative_prompt=[negative_prompt or family.negative] * len(prompts)
                if negative_prompt or family.negative is not None
                else None,
                height=height,
                width=width,
                guidance_scale=guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type="latent",
                **steps,
                **family.options,
            )
        return tracer.result()
    finally:
        pipeline.scheduler = own
