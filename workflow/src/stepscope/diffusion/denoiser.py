"""Replay of a stored step: the network, guidance and one scheduler step, without any state."""

import copy
import math
import zlib
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion import prediction, replayable, samplings
from stepscope.diffusion.step import Step
from stepscope.models import autoencoder, memory
from stepscope.models.families import registry
from stepscope.models.words import Word

Latents = Float[Tensor, "batch channel y x"]
Halves = Float[Tensor, "batch 2 channel y x"]


class Denoiser:
    """A pipeline's network and scheduler as functions of a latent and a stored step.

    Nothing is remembered between calls, so steps replay in any order; only the sizes that fit into
    memory are, so that a batch that does not is halved once. Gradients flow wherever the caller
    enables them. Latents keep the scheduler's scale, as traces store them. `device` is where the
    pipeline computed when the denoiser was made. What is said here to equal the trace bit by bit
    does so on the machine that traced, with a batch of the traced shape and with weights in the
    memory layout of tracing: `stepscope.load` and every job put the channels last.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        *,
        sampling: dict,
        scheduler: dict | None = None,
        guidance: int | float,
        guidance_rescale: int | float = 0.0,
    ) -> None:
        """`scheduler` None takes a copy of the pipeline's own."""
        self.pipeline = pipeline
        self.family = registry.family_of(pipeline)
        # asked once: both look through every module of the pipeline
        self.device = pipeline._execution_device
        self._dtype = self.family.dtype
        self.guidance = guidance
        self.guidance_rescale = guidance_rescale
        prediction.check_guidance(guidance, guidance_rescale, "Denoiser")
        self._scheduler = replayable.scheduled(
            pipeline.scheduler, scheduler, sampling, device=self.device
        )
        self.prediction_type = samplings.prediction_type(self._scheduler)
        self._log_snr = [
            prediction.log_snr_of(sigma) for sigma in samplings.sigmas_of(self._scheduler)[:-1]
        ]
        self.fitting_calls, self.fitting_pictures = memory.Fitting(), memory.Fitting()

    @property
    def network(self) -> torch.nn.Module:
        """The denoising network."""
        return self.family.network

    def outputs(
        self,
        latents: Latents,
        step: Step,
        conditioning: Mapping[str, Tensor] | None = None,
        *,
        prompt_only: bool = False,
    ) -> Halves:
        """Raw outputs of both guidance halves for latents at a step's noise level and prompt.

        Both halves are one call of the network, as in the pipeline: with a batch of the traced
        shape and weights as `load` lays them out, they equal the traced outputs bit by bit. Without
        guidance, and with `prompt_only`, uncond is NaN and costs nothing. In `conditioning` tensors
        are (2, ...), or (B, 2, ...) where every row has its own. Rows that do not fit into memory
        together are called in pieces, unless gradients need them together.
        """
        count = len(latents)
        by_row = {}
        for name, tensor in (step.conditioning if conditioning is None else conditioning).items():
            # one prompt for all rows (2, ...), or (B, 2, ...): a prompt for each
            alike = tensor.ndim == step.conditioning[name].ndim
            by_row[name] = tensor.expand(count, *tensor.shape) if alike else tensor

        def call(rows: range) -> Halves:
            piece = slice(rows.start, rows.stop)
            of_piece = {name: tensor[piece] for name, tensor in by_row.items()}
            return self._call(
                latents[piece], step, of_piece, both=self.guidance > 1 and not prompt_only
            )

        if torch.is_grad_enabled():
            return call(range(count))
        return torch.cat(self.fitting_calls.run(call, range(count)))

    def conditional(
        self, latents: Latents, step: Step, conditioning: Mapping[str, Tensor] | None = None
    ) -> Latents:
        """Raw output for the prompt alone: half of what `outputs` costs."""
        return self.outputs(latents, step, conditioning, prompt_only=True)[:, 1]

    def _call(
        self, latents: Latents, step: Step, conditioning: Mapping[str, Tensor], *, both: bool
    ) -> Halves:
        """One call of the network for B latents and their conditioning (B, 2, ...)."""
        halves = slice(None) if both else slice(1, None)
        z = self._network_input(latents, step).to(self.device, self._dtype)
        named = {
            name: tensor[:, halves].transpose(0, 1).flatten(0, 1).to(self.device, self._dtype)
            for name, tensor in conditioning.items()
        }
        output = self.family.run(
            torch.cat([z, z]) if both else z,
            self._scheduler.timesteps[step.number - 1],
            named,
        )
        output = self.family.predicted(output)
        if both:
            return torch.stack(output.chunk(2), 1)
        return torch.stack([torch.full_like(output, torch.nan), output], 1)

    def guided(self, outputs: Halves) -> Latents:
        """Guided output, by this denoiser's guidance and rescaling."""
        return prediction.guided(outputs, self.guidance, self.guidance_rescale)

    def noise(self, latents: Tensor, output: Tensor, step: Step) -> Tensor:
        """Noise that an output stands for, whatever its type, in float32 at least.

        (batch, channel, y, x) each; one latent may stand beside several outputs.
        """
        z = self._network_input(prediction.wide(latents.to(output.device)), step)
        return prediction.noise(z, prediction.wide(output), step.log_snr, self.prediction_type)

    def clean(self, latents: Tensor, output: Tensor, step: Step) -> Tensor:
        """Clean latent x0 that an output stands for, whatever its type, in float32 at least.

        (batch, channel, y, x) each; one latent may stand beside several outputs.
        """
        z = self._network_input(prediction.wide(latents.to(output.device)), step)
        return prediction.clean(z, prediction.wide(output), step.log_snr, self.prediction_type)

    def advance(
        self,
        latents: Latents,
        output: Latents,
        step: Step,
        generator: torch.Generator | None = None,
    ) -> Latents:
        """Latents after the step, by the library's scheduler with the step's own history.

        A scheduler that draws noise (ddpm) takes it from `generator`, or else adds the same noise
        to every latent, that of the step's prompt_id, seed and number: results then differ by
        their latents alone.
        """
        scheduler = self._at(step)
        options: dict[str, Any] = {} if generator is None else {"generator": generator}
        if generator is None and samplings.draws_noise(scheduler):
            name = f"{step.prompt_id}/{step.seed}/{step.number}".encode()
            options["generator"] = [
                torch.Generator().manual_seed(zlib.crc32(name)) for _ in latents
            ]
        timestep = scheduler.timesteps[step.number - 1]
        latents = latents.to(output)  # what a store keeps as float32 may have been bfloat16
        return scheduler.step(output, timestep, latents, **options, return_dict=False)[0]

    def decode(self, latents: Latents) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of clean latents; in halves where memory is short, as `outputs`."""
        if torch.is_grad_enabled():
            return autoencoder.decode(self.pipeline, latents)
        return torch.cat(
            self.fitting_pictures.run(partial(autoencoder.decode, self.pipeline), latents)
        )

    @torch.no_grad()
    def without(self, step: Step, *words: Word) -> dict[str, Tensor]:
        """Conditioning with the tokens of `words` replaced by padding, positions kept.

        Only the cond half changes: the prompt is encoded again by the pipeline's text encoders.
        """
        if not words:
            return dict(step.conditioning)
        encoded = self.encode(step.prompt, [word.index for word in words])
        return step.conditioning | {
            name: torch.stack([step.conditioning[name][0], new.to(step.conditioning[name])])
            for name, new in encoded.items()
        }

    def encode(self, prompt: str, without: Collection[int] = ()) -> dict[str, Tensor]:
        """Conditioning of one prompt (no batch axis), the words of some indices as padding."""
        return self.family.encode(prompt, without)

    @property
    def step_count(self) -> int:
        """Number of steps of the sampling."""
        return len(self._scheduler.timesteps)

    def log_snr(self, number: int) -> float:
        """Log-SNR of a step's latent, by the step's number from 1."""
        return self._log_snr[number - 1]

    def slope(self, number: int) -> float:
        """Derivative of a step by its latent, the predicted noise (or flow) being held fixed."""
        if self.prediction_type == "flow" or not self._is_preserving:
            return 1.0
        before, after = (
            prediction.levels(prediction.log_snr_of(sigma), self.prediction_type)[0]
            for sigma in samplings.sigmas_of(self._scheduler)[number - 1 : number + 1]
        )
        return after / before

    @property
    def _is_preserving(self) -> bool:
        """Whether latents keep their variance; Euler's are x0 + sigma eps."""
        return samplings.input_scale(self._scheduler, 1.0) == 1.0

    def _at(self, step: Step) -> SchedulerMixin:
        """A scheduler of its own, standing before the step with what it remembered there."""
        if step.number > self.step_count or not math.isclose(
            step.log_snr, self.log_snr(step.number), rel_tol=1e-4, abs_tol=1e-3
        ):
            raise ValueError(
                f"Denoiser: step {step.number} at log-SNR {step.log_snr:.3g} is no step of this "
                "sampling and scheduler; they must be those of the trace."
            )
        scheduler = copy.copy(self._scheduler)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(step.number - 1)
        order = getattr(scheduler.config, "solver_order", 1)
        if hasattr(scheduler, "model_outputs"):
            steps_known = min(step.number - 1, order)
            remembered: list[Tensor | None] = [None] * order
            if step.history is not None:
                for back in range(1, min(steps_known, order - 1) + 1):
                    remembered[-back] = step.history[-back].to(self.device)[None]
            scheduler.model_outputs = remembered
            scheduler.lower_order_nums = steps_known
        return scheduler

    def _network_input(self, latents: Latents, step: Step) -> Latents:
        scheduler = self._at(step)
        if not hasattr(scheduler, "scale_model_input"):  # of a flow
            return latents
        return scheduler.scale_model_input(latents, scheduler.timesteps[step.number - 1])
