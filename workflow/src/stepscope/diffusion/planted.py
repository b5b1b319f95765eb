"""Denoisers whose truth is known, to score explanation methods on.

Each wraps a Denoiser and shares its interface. Where gradients are enabled the real network still
runs with its output multiplied by zero, so that hooked methods see its layers and find nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion import prediction
from stepscope.diffusion.denoiser import Denoiser, Halves, Latents, stacked
from stepscope.diffusion.step import Step, Steps, runs
from stepscope.language import key
from stepscope.models.words import Word

WITHOUT = "without:"  # prefix of the conditioning that also lacks the gated word


class Wrapped(Denoiser):
    """A denoiser in front of another, whose attributes are its own unless it sets them."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.inner = denoiser

    def __getattr__(self, name: str) -> Any:
        """What the inner denoiser has; asked for only what is missing here."""
        if name == "inner":  # while a copy is made there is none yet
            raise AttributeError(name)
        return getattr(self.inner, name)

    def without(self, step: Step, *words: Word) -> dict[str, Tensor]:
        """As the inner denoiser's."""
        return self.inner.without(step, *words)

    def without_each(
        self, changes: Sequence[tuple[Step, Collection[Word]]]
    ) -> list[dict[str, Tensor]]:
        """One by one, so that a denoiser need only say what `without` gives."""
        return [self.without(step, *words) for step, words in changes]

    def _with_all_words(self, step: Steps) -> dict[str, Tensor]:
        """What `without` gives for a step without removing anything, or (B, 2, ...) for several."""
        if isinstance(step, Step):
            return self.without(step)
        return stacked([self.without(one) for one in step])


class GatedDenoiser(Wrapped):
    """The real model, in which one word acts only in some steps or only in a region.

    e_c' = e_c(without w) + gate (e_c - e_c(without w)): word, time and place are known, and
    attention cannot see the gate. Every occurrence of the word is gated.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        word_text: str,
        *,
        steps: tuple[int, int] | None = None,
        region: Float[Tensor, "y x"] | None = None,
    ) -> None:
        """`steps` (first, last) from 1, both included; `region` in [0, 1], latent grid."""
        super().__init__(denoiser)
        self.word_text = word_text
        self.steps = steps
        self.region = region

    def gated(self, step: Step) -> tuple[Word, ...]:
        """The step's words that the gate holds back."""
        return tuple(word for word in step.words if key(word.text) == key(self.word_text))

    def gate(self, step: Step, like: Tensor) -> Tensor:
        """Gate of a step, a number or (y, x), in [0, 1]."""
        open_now = self.steps is None or self.steps[0] <= step.number <= self.steps[1]
        gate = like.new_tensor(float(open_now))
        return gate if self.region is None else gate * self.region.to(like)

    def without(self, step: Step, *words: Word) -> dict[str, Tensor]:
        """Conditioning without `words`, and beside it the one that lacks the gated word too."""
        plain = self.inner.without(step, *words)
        both = self.inner.without(step, *words, *self.gated(step))
        return plain | {WITHOUT + name: tensor for name, tensor in both.items()}

    def outputs(
        self,
        latents: Latents,
        step: Steps,
        conditioning: Mapping[str, Tensor] | None = None,
        *,
        prompt_only: bool = False,
    ) -> Halves:
        """Raw halves with the gate on the cond half.

        A conditioning that did not come from `without` is another prompt's and passes ungated.
        """
        named = self._with_all_words(step) if conditioning is None else conditioning
        plain = {name: value for name, value in named.items() if not name.startswith(WITHOUT)}
        lacking = {
            name.removeprefix(WITHOUT): value
            for name, value in named.items()
            if name.startswith(WITHOUT)
        }
        if not lacking:
            return self.inner.outputs(latents, step, plain, prompt_only=prompt_only)
        base = self.inner.conditional(latents, step, lacking)
        # the full prompt comes last: it is the call whose layers a hooked method looks at
        halves = self.inner.outputs(latents, step, plain, prompt_only=prompt_only)
        uncond, cond = halves.unbind(1)
        gates = [
            self.gate(one, cond).expand(cond[rows].shape) for one, rows in runs(step, len(cond))
        ]
        cond = base + torch.cat(gates) * (cond - base)
        return torch.stack([uncond, cond], 1)


class NoisePredicting(Wrapped):
    """A denoiser whose halves both predict the noise that `_noise` gives for the latent alone."""

    def outputs(
        self,
        latents: Latents,
        step: Steps,
        conditioning: Mapping[str, Tensor] | None = None,
        *,
        prompt_only: bool = False,
    ) -> Halves:
        """Raw halves, both the same, whatever the conditioning."""
        z = self._network_input(latents, step)
        eps = torch.cat([self._noise(z[rows], one) for one, rows in runs(step, len(z))])
        output = self._by_level(prediction.output_of, z, eps, step)
        halves = torch.stack([output, output], 1)
        if torch.is_grad_enabled():
            inner = self.inner.outputs(latents, step, conditioning, prompt_only=prompt_only)
            halves = halves + 0 * inner.nan_to_num()
        return halves

    def _noise(self, z: Latents, step: Step) -> Latents:
        """The predicted noise for network inputs of one step."""
        raise NotImplementedError


class GaussianDenoiser(NoisePredicting):
    """The optimal denoiser of latents drawn from one normal distribution; it knows no text.

    E[x0 | z] = m + alpha S (alpha^2 S + sigma^2 I)^-1 (z - alpha m), from the eigenvalues of S.
    """

    def __init__(
        self,
        mean: Float[Tensor, "channel y x"],
        covariance: Float[Tensor, "size size"],
        denoiser: Denoiser,
    ) -> None:
        """`covariance` is that of the flattened latent, size = C h w."""
        super().__init__(denoiser)
        self.mean = mean.double()
        values, self.vectors = torch.linalg.eigh(covariance.double())
        self.values = values.clamp(min=0)

    def jacobian(self, step: Step) -> Float[Tensor, "size size"]:
        """Exact derivative of the predicted noise by the network's input z, float64."""
        return self.vectors * self._gain(step) @ self.vectors.T

    def _gain(self, step: Step) -> Float[Tensor, " size"]:
        """Factor from z - alpha m to the noise, along each eigenvector."""
        alpha, sigma = prediction.levels(step.log_snr, self.prediction_type)
        return sigma / (alpha**2 * self.values + sigma**2)

    def _noise(self, z: Latents, step: Step) -> Latents:
        alpha, _ = prediction.levels(step.log_snr, self.prediction_type)
        offset = (z.double() - alpha * self.mean.to(z.device)).flatten(1)
        vectors = self.vectors.to(z.device)
        eps = offset @ vectors * self._gain(step).to(z.device) @ vectors.T
        return eps.view_as(z).to(z.dtype)


class CopyingDenoiser(NoisePredicting):
    """Predicts its own input as the noise: every prediction contains the latent, none explains."""

    def _noise(self, z: Latents, step: Step) -> Latents:
        return z


class ConstantDenoiser(NoisePredicting):
    """Predicts the same noise everywhere, whatever it is given."""

    def __init__(self, denoiser: Denoiser, value: int | float = 0.0) -> None:
        """`value` is the noise predicted at every element."""
        super().__init__(denoiser)
        self.value = value

    def _noise(self, z: Latents, step: Step) -> Latents:
        return torch.full_like(z, self.value)
