"""What a sampling makes of a stored step: its noise level, and one step of its scheduler."""

import copy
import math
import zlib
from collections.abc import Callable
from typing import Any

import torch
from diffusers import SchedulerMixin
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion import prediction, samplings
from stepscope.diffusion.step import Step, Steps, runs

Latents = Float[Tensor, "batch channel y x"]


class Schedule:
    """A scheduler of a sampling as functions of latents and their stored steps, without any state.

    Where rows are of several steps, `step` is a sequence with one a row.
    """

    def __init__(self, scheduler: SchedulerMixin, device: torch.device) -> None:
        """`scheduler` has its time steps set."""
        self._scheduler, self.device = scheduler, device
        self.prediction_type = samplings.prediction_type(scheduler)
        self._ratios = samplings.sigmas_of(scheduler)
        self._log_snr = [prediction.log_snr_of(sigma) for sigma in self._ratios[:-1]]

    def noise(self, latents: Tensor, output: Tensor, step: Steps) -> Tensor:
        """Noise that an output stands for, whatever its type, in float32 at least.

        (batch, channel, y, x) each; one latent may stand beside several outputs of one step.
        """
        return self._predicted(prediction.noise, latents, output, step)

    def clean(self, latents: Tensor, output: Tensor, step: Steps) -> Tensor:
        """Clean latent x0 that an output stands for, whatever its type, in float32 at least.

        (batch, channel, y, x) each; one latent may stand beside several outputs of one step.
        """
        return self._predicted(prediction.clean, latents, output, step)

    def _predicted(
        self, convert: Callable[..., Tensor], latents: Tensor, output: Tensor, step: Steps
    ) -> Tensor:
        z = self._network_input(prediction.wide(latents.to(output.device)), step)
        return self._by_level(convert, z, prediction.wide(output), step)

    def _by_level(
        self, convert: Callable[..., Tensor], z: Tensor, other: Tensor, step: Steps
    ) -> Tensor:
        """A conversion of `prediction` for network inputs and what stands beside them."""
        if isinstance(step, Step):
            return convert(z, other, step.log_snr, self.prediction_type)
        return torch.cat(
            [
                convert(z[rows], other[rows], one.log_snr, self.prediction_type)
                for one, rows in runs(step, len(other))
            ]
        )

    def advance(
        self,
        latents: Latents,
        output: Latents,
        step: Steps,
        generator: torch.Generator | None = None,
    ) -> Latents:
        """Latents after the step, by the library's scheduler with the step's own history.

        A scheduler that draws noise (ddpm) takes it from `generator`, or else adds the same noise
        to every latent of a step, that of its prompt_id, seed and number: results then differ by
        their latents alone.
        """
        latents = latents.to(output)  # what a store keeps as float32 may have been bfloat16
        return torch.cat(
            [
                self._advance(latents[rows], output[rows], one, generator)
                for one, rows in runs(step, len(latents))
            ]
        )

    def _advance(
        self, latents: Latents, output: Latents, step: Step, generator: torch.Generator | None
    ) -> Latents:
        scheduler = self._at(step)
        options: dict[str, Any] = {} if generator is None else {"generator": generator}
        if generator is None and samplings.draws_noise(scheduler):
            name = f"{step.prompt_id}/{step.seed}/{step.number}".encode()
            options["generator"] = [
                torch.Generator().manual_seed(zlib.crc32(name)) for _ in latents
            ]
        timestep = scheduler.timesteps[step.number - 1]
        return scheduler.step(output, timestep, latents, **options, return_dict=False)[0]

    def ancestral(self, latents: Latents, output: Latents, step: Steps, noise: Tensor) -> Latents:
        """Latents after a step of which as much is fresh `noise` (B, C, y, x) as in DDPM.

        The posterior of the less noised latent given the clean prediction: DDIM with eta 1 (Song et
        al. 2021, arXiv 2010.02502, eq. 12 and 16), for flows and the scale of every scheduler.
        """
        clean, old = (of(latents, output, step) for of in (self.clean, self.noise))
        parts = []
        for one, rows in runs(step, len(output)):
            (alpha, sigma), (next_alpha, next_sigma) = map(
                self._levels, self._ratios[one.number - 1 : one.number + 1]
            )
            kept = alpha / next_alpha * next_sigma / sigma  # of the noise that there is
            fresh = next_sigma * math.sqrt(1 - kept**2)
            after = next_alpha * clean[rows] + next_sigma * kept * old[rows]
            parts.append(after + fresh * noise[rows].to(after))
        return torch.cat(parts).to(output)

    def _levels(self, ratio: float) -> tuple[float, float]:
        """Signal and noise in a latent of the scheduler's scale, by their ratio noise / signal."""
        if self.prediction_type != "flow" and not self._is_preserving:
            return 1.0, ratio
        return prediction.levels(prediction.log_snr_of(ratio), self.prediction_type)

    def remembered(self, latents: Latents, output: Latents, step: Step) -> Latents:
        """What a solver of higher order remembers of a step, as its `history` has it."""
        scheduler = self._at(step)
        scheduler._init_step_index(scheduler.timesteps[step.number - 1])
        return scheduler.convert_model_output(output, sample=latents.to(output))

    @property
    def step_count(self) -> int:
        """Number of steps of the sampling."""
        return len(self._scheduler.timesteps)

    @property
    def solver_order(self) -> int:
        """Order of the solver: how many predictions a step looks at."""
        return getattr(self._scheduler.config, "solver_order", 1)

    @property
    def draws_noise(self) -> bool:
        """Whether a step adds noise, which is then each sample's own."""
        return samplings.draws_noise(self._scheduler)

    def timestep(self, number: int) -> float:
        """Time step of a step, by its number from 1."""
        return float(self._scheduler.timesteps[number - 1])

    def log_snr(self, number: int) -> float:
        """Log-SNR of a step's latent, by the step's number from 1."""
        return self._log_snr[number - 1]

    def levels(self, step: Step) -> tuple[float, float]:
        """Levels of signal and noise in a step's latent, in the scheduler's own scale."""
        ratio = math.exp(-step.log_snr / 2)
        scale = samplings.input_scale(self._scheduler, ratio)
        signal, noise = prediction.levels(step.log_snr, self.prediction_type)
        return signal / scale, noise / scale

    def slope(self, number: int) -> float:
        """Derivative of a step by its latent, the predicted noise (or flow) being held fixed."""
        if self.prediction_type == "flow" or not self._is_preserving:
            return 1.0
        before, after = (
            prediction.levels(prediction.log_snr_of(sigma), self.prediction_type)[0]
            for sigma in self._ratios[number - 1 : number + 1]
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
        order = self.solver_order
        if hasattr(scheduler, "model_outputs"):
            steps_known = min(step.number - 1, order)
            remembered: list[Tensor | None] = [None] * order
            if step.history is not None:
                for back in range(1, min(steps_known, order - 1) + 1):
                    remembered[-back] = step.history[-back].to(self.device)[None]
            scheduler.model_outputs = remembered
            scheduler.lower_order_nums = steps_known
        return scheduler

    def _timesteps(self, step: Steps) -> Tensor:
        """Time step of one step (), or of each of several (B,)."""
        timesteps = self._scheduler.timesteps
        if isinstance(step, Step):
            return timesteps[step.number - 1]
        return timesteps[[one.number - 1 for one in step]]

    def _network_input(self, latents: Latents, step: Steps) -> Latents:
        """Latents at the network's scale."""
        return torch.cat(
            [self._scaled(latents[rows], one) for one, rows in runs(step, len(latents))]
        )

    def _scaled(self, latents: Latents, step: Step) -> Latents:
        scheduler = self._at(step)
        if not hasattr(scheduler, "scale_model_input"):  # of a flow
            return latents
        return scheduler.scale_model_input(latents, scheduler.timesteps[step.number - 1])
