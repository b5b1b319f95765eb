"""What one traced pipeline call leaves behind, gathered while it runs."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from stepscope.diffusion import prediction, replayable, samplings
from stepscope.models.families import registry
from stepscope.tracing.attention import AttentionHooks
from stepscope.tracing.trace import Trace

# from the first noise, latents before each step and after the last
Path = Callable[[Tensor], Sequence[Tensor]]
# of each prompt, or of the only one, roles and their words
Roles = Sequence[Mapping[str, str]] | Mapping[str, str] | None


class Tracer:
    """What one pipeline call leaves behind, gathered step by step."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        roles: Roles,
        path: Path | None = None,
        heads: torch.dtype | None = None,
    ) -> None:
        """Nothing is hooked yet; `trace` does that."""
        self.pipeline = pipeline
        self.roles = roles
        self.path = path
        self.family = registry.family_of(pipeline)
        self.hooks = AttentionHooks(self.family, heads)
        self.latents: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.timesteps: list[float] = []
        self.history: list[Tensor] = []
        self.conditioning: dict[str, Tensor] = {}
        self.problem = ""
        self.prompts: list[str] = []

    def begin(self, arguments: dict) -> None:
        """Read the call's arguments, before anything of it runs."""
        name = type(self.pipeline).__name__
        if self.prompts:
            raise ValueError("trace: one block records one call of the pipeline, this is another.")
        self.family.check_call(arguments)
        for argument in self.family.refused:
            value = arguments.get(argument)
            if value is not None and not (isinstance(value, int | float) and not value):
                raise ValueError(f"trace: {name} was called with {argument}, which has no replay.")
        replayable.check(self.pipeline.scheduler, "trace")
        check_numbers(arguments, self.pipeline.scheduler.config.num_train_timesteps)
        prompts, negative = arguments["prompt"], arguments.get("negative_prompt") or ""
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        negative = [negative] * len(prompts) if isinstance(negative, str) else list(negative)
        roles = roles_of(self.roles, len(prompts))
        for text in negative:
            self.family.check_length(text, "trace: negative_prompt")
        readings = [
            self.family.reading(prompt, of_prompt, "trace")
            for prompt, of_prompt in zip(prompts, roles, strict=True)
        ]
        images = arguments["num_images_per_prompt"]

        def per_image(values: list) -> list:
            return [value for value in values for _ in range(images)]

        self.arguments = arguments
        self.prompts, self.negative_prompts = per_image(prompts), per_image(negative)
        self.readings = per_image(readings)
        self.hooks.begin(self.readings)

    def network_called(
        self, network: torch.nn.Module, args: tuple, kwargs: dict, output: Any
    ) -> None:
        """Keep raw output and conditioning of one network call."""
        call = _signature(type(network).forward).bind(network, *args, **kwargs).arguments
        output = self.family.predicted(output[0] if isinstance(output, tuple) else output.sample)
        count = len(self.prompts)
        named = self.family.conditioning(call)
        for name, value in list(named.items()):
            if not torch.is_tensor(value):
                self._object(f"the network was given {name}, which a stored step cannot replay")
                del named[name]
        guided, scale = self.family.guidance(self.arguments)
        # without halves nothing is mixed, whatever a distilled model does with the number
        scale = scale if guided else min(scale, 1.0)
        if len(output) != (2 * count if guided else count):
            self._object(f"the network was given {len(output)} rows for {count} samples")
        halves = {key: _halves(value, count, guided).cpu() for key, value in named.items()}
        if not self.outputs:
            self.conditioning = halves
            self.guidance = scale
        elif self.guidance != scale or not _same(self.conditioning, halves):
            self._object(
                f"prompt or guidance changed before step {len(self.outputs) + 1}, "
                "and a trace holds one of each"
            )
        self.outputs.append(_halves(output, count, guided).cpu())
        self.timesteps.append(float(call["timestep"].flatten()[0]))
        self.hooks.step_ended()

    def _object(self, problem: str) -> None:
        # said when the run is over: bookkeeping never ends a run in the middle
        self.problem = self.problem or problem

    def begun(self, latents: Tensor) -> Tensor:
        """Keep the latents that the first step starts from; they are returned."""
        self.following = [] if self.path is None else list(self.path(latents))
        return self._kept(latents)

    def _kept(self, latents: Tensor) -> Tensor:
        """Keep the latents of the next state, which a path may give."""
        latents = self.following.pop(0).to(latents) if self.following else latents
        self.latents.append(latents.cpu())
        return latents

    def step_ended(self, latents: Tensor) -> Tensor:
        """Keep the latents after a step and what a multistep scheduler remembers of it.

        The latents are returned, or those of the path in their place.
        """
        latents = self._kept(latents)
        remembered: Sequence[Any] = getattr(self.pipeline.scheduler, "model_outputs", ())
        if len(remembered) > 1:
            self.history.append(remembered[-1].cpu())
        return latents

    def end(self) -> None:
        """Read the noise levels off the scheduler, before anybody uses it again."""
        scheduler = self.pipeline.scheduler
        start, steps = getattr(scheduler, "begin_index", None) or 0, len(self.outputs)
        self.sigmas = samplings.sigmas_of(scheduler)[start : start + steps + 1]
        self.scales = [samplings.input_scale(scheduler, sigma) for sigma in self.sigmas]
        self.prediction_type = samplings.prediction_type(scheduler)
        self.order = scheduler.config.get("solver_order", 1)
        self.rescale = float(getattr(self.pipeline, "guidance_rescale", 0.0))

    def result(self) -> Trace:
        """The finished trace; a ValueError of one sentence when it could not be complete."""
        steps = len(self.outputs)
        if not steps or len(self.latents) != steps + 1:
            raise ValueError(
                f"trace: {steps} network calls and {len(self.latents)} latents are no complete run."
            )
        if self.problem:
            raise ValueError(f"trace: {self.problem}.")
        latents = torch.stack(self.latents, 1)
        height, width = latents.shape[-2:]
        attention, heads, audit = self.hooks.result(steps, (height, width))
        log_snr = np.array([prediction.log_snr_of(sigma) for sigma in self.sigmas[:-1]])
        kind = self.prediction_type
        outputs = torch.stack(self.outputs, 1)
        denoised = []
        for k in range(steps):
            z = latents[:, k].float() * self.scales[k]  # what is derived is derived in float32
            output = prediction.guided(outputs[:, k].float(), self.guidance, self.rescale)
            denoised.append(prediction.clean(z, output, log_snr[k], kind))
        return Trace(
            latents=latents,
            outputs=outputs,
            denoised=torch.stack(denoised, 1),
            attention=attention,
            timesteps=np.array(self.timesteps, "f8"),
            sigmas=self.sigmas,
            log_snr=log_snr,
            conditioning=self.conditioning,
            solver=_solver(self.history, self.order),
            token_text=[list(reading.names) for reading in self.readings],
            words=[reading.words for reading in self.readings],
            audit=audit,
            guidance=self.guidance,
            guidance_rescale=self.rescale,
            prediction_type=kind,
            prompts=self.prompts,
            negative_prompts=self.negative_prompts,
            heads=heads,
        )


def roles_of(roles: Roles, count: int) -> Sequence[Mapping[str, str]]:
    """Roles of each of `count` prompts; a ValueError where they are not those of as many."""
    if not roles:
        return [{}] * count
    listed = [roles] if isinstance(roles, Mapping) else list(roles)
    if len(listed) != count:
        raise ValueError(
            "trace: roles are one mapping a prompt, such as {'subject': 'cat'}, and there are "
            f"{len(listed)} for {count} prompts."
        )
    return listed


def check_numbers(arguments: Mapping[str, Any], trained: int) -> None:
    """Refuse numbers of a pipeline call that are none, and steps that do not lead to less noise.

    `trained` is the number of time steps of the noise schedule.
    """
    guidance, rescale = (arguments.get(f"guidance_{name}") for name in ("scale", "rescale"))
    prediction.check_guidance(guidance or 0.0, rescale or 0.0, "trace")
    for name, most in (("timesteps", trained), ("sigmas", math.inf)):
        given = arguments.get(name)
        chosen = [] if given is None else [float(level) for level in given]
        descends = all(a > b for a, b in itertools.pairwise(chosen))
        if not descends or not all(0 <= level < most for level in chosen):
            raise ValueError(
                f"trace: {name} must descend without repeating, be below {most} and at least 0."
            )


@functools.cache
def _signature(forward: Callable) -> inspect.Signature:
    return inspect.signature(forward)


def _halves(tensor: Tensor, count: int, guided: bool) -> Tensor:
    """Rows [uncond..., cond...] as (count, 2, ...); uncond NaN where only cond was computed."""
    cond = tensor[-count:]
    uncond = tensor[:count] if guided else torch.full_like(cond, torch.nan)
    return torch.stack([uncond, cond], 1)


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[name], b[name]) or torch.equal(a[name].nan_to_num(), b[name].nan_to_num())
        for name in a
    )


def _solver(history: list[Tensor], order: int) -> dict[str, Tensor]:
    """History of a multistep solver before each step, from its converted outputs at each step."""
    if order == 1 or not history:
        return {}
    before = torch.full_like(history[0], torch.nan)
    padded = [before] * (order - 1) + history[:-1]
    windows = [torch.stack(padded[k : k + order - 1], 1) for k in range(len(history))]
    return {"model_outputs": torch.stack(windows, 1)}
