"""Replay of a stored step: the network, guidance and one scheduler step, without any state."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import torch
from diffusers import DiffusionPipeline
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion import prediction, replayable
from stepscope.diffusion.schedule import Latents, Schedule
from stepscope.diffusion.step import Step, Steps, runs
from stepscope.models import autoencoder, memory, rewording
from stepscope.models.families import registry
from stepscope.models.words import Word

Halves = Float[Tensor, "batch 2 channel y x"]


class Denoiser(Schedule):
    """A pipeline's network and scheduler as functions of a latent and a stored step.

    Wherever a batch is of several steps, `step` is a sequence with one a row.

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
        judge: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """`scheduler` None takes a copy of the pipeline's own.

        `judge` gives features (B, width) of pictures (B, 3, y, x) to methods that compare these.
        """
        self.pipeline = pipeline
        self.family = registry.family_of(pipeline)
        # asked once: both look through every module of the pipeline
        self.device = pipeline._execution_device
        self._dtype = self.family.dtype
        self.guidance = guidance
        self.guidance_rescale = guidance_rescale
        self.judge = judge
        prediction.check_guidance(guidance, guidance_rescale, "Denoiser")
        made = replayable.scheduled(pipeline.scheduler, scheduler, sampling, device=self.device)
        super().__init__(made, self.device)
        self.fitting_calls, self.fitting_pictures = memory.Fitting(), memory.Fitting()

    @property
    def network(self) -> torch.nn.Module:
        """The denoising network."""
        return self.family.network

    def outputs(
        self,
        latents: Latents,
        step: Steps,
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
        count, both = len(latents), self.guidance > 1 and not prompt_only
        by_row = conditioning_of_rows(step, conditioning, count)

        def call(rows: range) -> Halves:
            piece = slice(rows.start, rows.stop)
            of_piece = {name: tensor[piece] for name, tensor in by_row.items()}
            steps = step if isinstance(step, Step) else step[piece]
            return self._call(latents[piece], steps, of_piece, both=both)

        if torch.is_grad_enabled():
            return call(range(count))
        return torch.cat(self.fitting_calls.run(call, range(count)))

    def conditional(
        self, latents: Latents, step: Steps, conditioning: Mapping[str, Tensor] | None = None
    ) -> Latents:
        """Raw output for the prompt alone: half of what `outputs` costs."""
        return self.outputs(latents, step, conditioning, prompt_only=True)[:, 1]

    def _call(
        self, latents: Latents, step: Steps, conditioning: Mapping[str, Tensor], *, both: bool
    ) -> Halves:
        """One call of the network for B latents and their conditioning (B, 2, ...)."""
        halves = slice(None) if both else slice(1, None)
        z = self._network_input(latents, step).to(self.device, self._dtype)
        named = {
            name: tensor[:, halves].transpose(0, 1).flatten(0, 1).to(self.device, self._dtype)
            for name, tensor in conditioning.items()
        }
        timesteps = self._timesteps(step)
        if both:
            z, timesteps = torch.cat([z, z]), timesteps.tile(2 if timesteps.ndim else ())
        output = self.family.predicted(self.family.run(z, timesteps, named))
        if both:
            return torch.stack(output.chunk(2), 1)
        return torch.stack([torch.full_like(output, torch.nan), output], 1)

    def guided(self, outputs: Halves) -> Latents:
        """Guided output, by this denoiser's guidance and rescaling."""
        return prediction.guided(outputs, self.guidance, self.guidance_rescale)

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
        (conditioning,) = self.without_each([(step, words)])
        return conditioning

    @torch.no_grad()
    def without_each(
        self, changes: Sequence[tuple[Step, Collection[Word]]]
    ) -> list[dict[str, Tensor]]:
        """`without` for several steps, each with its words; every text is encoded once."""
        lacking = [change for change in changes if change[1]]
        encoded = iter(
            rewording.with_texts(
                self.family,
                [step.conditioning for step, _ in lacking],
                [_text(step, words) for step, words in lacking],
            )
        )
        return [next(encoded) if words else dict(step.conditioning) for step, words in changes]

    def encode(self, prompt: str, without: Collection[int] = ()) -> dict[str, Tensor]:
        """Conditioning of one prompt (no batch axis), the words of some indices as padding."""
        return {name: rows[0] for name, rows in self.encode_each([(prompt, without)]).items()}

    def encode_each(self, texts: Sequence[tuple[str, Collection[int]]]) -> dict[str, Tensor]:
        """Conditioning (B, ...) of B prompts, of each the words of some indices as padding."""
        return self.family.encode(texts)


def conditioning_of_rows(
    step: Steps, conditioning: Mapping[str, Tensor] | None, count: int
) -> dict[str, Tensor]:
    """Conditioning (B, 2, ...) of `count` rows: the steps' own, or one that is given for them.

    What is given is a prompt for all rows (2, ...), or one for each.
    """
    stored = runs(step, count)[0][0].conditioning
    if conditioning is None:
        if not isinstance(step, Step):
            return stacked([one.conditioning for one in step])
        conditioning = stored
    return {
        name: tensor.expand(count, *tensor.shape) if tensor.ndim == stored[name].ndim else tensor
        for name, tensor in conditioning.items()
    }


def stacked(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Conditioning (B, ...) of B rows that have the same names."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _text(step: Step, words: Collection[Word]) -> tuple[str, tuple[int, ...]]:
    """A step's prompt, and the indices of words that it lacks."""
    return step.prompt, tuple(word.index for word in words)
