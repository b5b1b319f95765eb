"""Denoisers that decide nothing: the Gaussian null, and a picture that is fixed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stepscope.diffusion.nulls import FixedPicture, GaussianNull
from stepscope.diffusion.walk import walked
from stepscope.methods.df_rise import df_rise
from stepscope.scores import gaussian_null
from support.replayed import replay


def clean(denoiser, step, latent, conditioning=None):
    with torch.no_grad():
        outputs = denoiser.outputs(latent[None], step, conditioning)
        return denoiser.clean(latent[None], denoiser.guided(outputs), step)[0]


@pytest.fixture(scope="module")
def moments():
    """Of latents (4, 16, 16) that are correlated over cells and channels, and not about zero."""
    white = np.random.default_rng(0).normal(size=(30, 4, 16, 16))
    white[:, 1] += white[:, 0]
    return gaussian_null.moments(0.5 + white + 2 * np.roll(white, 1, axis=2))


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_sd2"])  # predicting noise, and v
def test_the_null_samples_what_recovery_holds_against_the_model(kind, moments):
    denoiser, steps = replay(kind)
    noise = steps[0].latent.double()
    first = replace(steps[0], latent=(noise / noise.square().mean().sqrt()).float())
    found = torch.cat([step.clean for step in walked(GaussianNull(denoiser, *moments), [first])])
    levels = np.array([step.log_snr for step in steps])
    expected = gaussian_null.predictions(first.latent.numpy(), levels, *moments)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_a_fixed_picture_is_predicted_whatever_the_latent():
    denoiser, steps = replay()
    other = replace(steps[1], seed=7)
    pictures = {("tiny", steps[0].seed): steps[-1].after, ("tiny", 7): steps[0].latent}
    fixed = FixedPicture(denoiser, pictures)
    for step in steps:
        found = clean(fixed, step, torch.randn(4, 16, 16))
        torch.testing.assert_close(found, steps[-1].after, rtol=1e-3, atol=1e-3)
    latents = torch.randn(2, 4, 16, 16)
    together = fixed.outputs(latents, [steps[1], other])
    found = fixed.clean(latents, together[:, 1], [steps[1], other])
    torch.testing.assert_close(found[1], steps[0].latent, rtol=1e-3, atol=1e-3)
    *_, last = walked(fixed, [steps[0]])
    torch.testing.assert_close(last.after[0], steps[-1].after, rtol=1e-3, atol=1e-3)


def test_no_prompt_overrides_what_reads_none(moments):
    denoiser, steps = replay()
    other = {name: torch.zeros_like(value) for name, value in steps[1].conditioning.items()}
    pictures = {("tiny", steps[1].seed): steps[-1].after}
    for null in (GaussianNull(denoiser, *moments), FixedPicture(denoiser, pictures)):
        own, swapped = (
            clean(null, steps[1], steps[1].latent, given)
            for given in (steps[1].conditioning, other)
        )
        assert torch.equal(own, swapped)


def test_df_rise_of_the_null_is_known_where_cells_are_independent():
    """A white null's noise at a cell is the cell's own, so that hiding it costs its square."""
    denoiser, steps = replay()
    step, variance = steps[1], 0.6
    spectra = np.tile(variance * np.eye(4, dtype=complex), (16, 16, 1, 1))
    null = GaussianNull(denoiser, np.zeros(4), spectra)
    found, _ = df_rise(null, step, masks=64, similarity="mse")[""]
    alpha, sigma = denoiser.levels(step)
    gain = sigma / (alpha**2 * variance + sigma**2)
    expected = (gain * step.latent).square().mean(0)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
