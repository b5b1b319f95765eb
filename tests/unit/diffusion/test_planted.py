"""Planted denoisers do exactly what their truth says."""

import pytest
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.planted import (
    ConstantDenoiser,
    CopyingDenoiser,
    GatedDenoiser,
    GaussianDenoiser,
)
from stepscope.tracing.call import trace
from stepscope.tracing.trace import steps_of
from support import tiny


@pytest.fixture(scope="module", params=["tiny_sd1", "tiny_sd2"])
def denoiser(request):
    return Denoiser(
        getattr(tiny, request.param)(), sampling={"kind": "uniform", "steps": 3}, guidance=4.0
    )


@pytest.fixture(scope="module")
def steps(denoiser):
    with trace(denoiser.pipeline) as tracer:
        denoiser.pipeline(
            prompt="a red cat and a red dog",
            num_inference_steps=3,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        )
    return steps_of(tracer.result(), 0)


def conditional(denoiser, step, conditioning=None):
    with torch.no_grad():
        return denoiser.outputs(step.latent[None], step, conditioning)[0, 1]


def test_a_word_acts_only_while_its_gate_is_open(denoiser, steps):
    gated = GatedDenoiser(denoiser, "cat", steps=(2, 2))
    cat = steps[0].words[2]
    for step in steps:
        full = conditional(denoiser, step)
        without = conditional(denoiser, step, denoiser.without(step, cat))
        assert not torch.allclose(full, without)
        expected = full if step.number == 2 else without
        torch.testing.assert_close(conditional(gated, step), expected)


def test_rows_of_several_steps_are_each_step_alone(denoiser, steps):
    mean, region = torch.zeros(4, 16, 16), torch.eye(16)
    latents = torch.stack([step.latent for step in steps])
    for planted in (
        GatedDenoiser(denoiser, "cat", steps=(2, 3), region=region),
        GaussianDenoiser(mean, torch.eye(mean.numel()), denoiser),
        CopyingDenoiser(denoiser),
        ConstantDenoiser(denoiser, 0.5),
    ):
        with torch.no_grad():
            together = planted.outputs(latents, steps)
        for row, step in zip(together, steps, strict=True):
            torch.testing.assert_close(row[1], conditional(planted, step), rtol=1e-4, atol=1e-5)


def test_a_word_acts_only_in_its_region(denoiser, steps):
    region = torch.zeros(16, 16)
    region[:, :8] = 1
    gated, step = GatedDenoiser(denoiser, "cat", region=region), steps[1]
    found = conditional(gated, step)
    full = conditional(denoiser, step)
    without = conditional(denoiser, step, denoiser.without(step, step.words[2]))
    torch.testing.assert_close(found[..., :8], full[..., :8])
    torch.testing.assert_close(found[..., 8:], without[..., 8:])


def test_every_occurrence_is_gated(denoiser, steps):
    gated, step = GatedDenoiser(denoiser, "red", steps=(9, 9)), steps[0]
    both = [word for word in step.words if word.text == "red"]
    assert len(both) == 2
    expected = conditional(denoiser, step, denoiser.without(step, *both))
    torch.testing.assert_close(conditional(gated, step), expected)


def test_removing_a_gated_word_changes_nothing_while_the_gate_is_shut(denoiser, steps):
    gated, step = GatedDenoiser(denoiser, "cat", steps=(9, 9)), steps[0]
    removed = conditional(gated, step, gated.without(step, step.words[2]))
    torch.testing.assert_close(removed, conditional(gated, step))
    other = conditional(gated, step, gated.without(step, step.words[6]))
    assert not torch.allclose(other, removed)


def test_another_prompt_passes_ungated(denoiser, steps):
    gated, step = GatedDenoiser(denoiser, "cat", steps=(9, 9)), steps[0]
    encoded = denoiser.encode("a blue cat")["prompt_embeds"]
    other = {"prompt_embeds": torch.stack([step.conditioning["prompt_embeds"][0], encoded])}
    assert torch.equal(conditional(gated, step, other), conditional(denoiser, step, other))


def test_the_gate_is_differentiable(denoiser, steps):
    gated = GatedDenoiser(denoiser, "cat", steps=(1, 1))
    latent = steps[0].latent[None].clone().requires_grad_()
    gated.outputs(latent, steps[0])[:, 1].sum().backward()
    assert latent.grad.abs().sum() > 0


@pytest.fixture
def gaussian(denoiser):
    generator = torch.Generator().manual_seed(0)
    # in float32 the covariance of 200 samples has eigenvalues below 0 by its rounding, which the
    # denoiser takes for 0 and the formula does not
    samples = torch.randn(200, 4 * 16 * 16, generator=generator, dtype=torch.double)
    mixing = torch.randn(4 * 16 * 16, 4 * 16 * 16, generator=generator, dtype=torch.double)
    covariance = torch.cov((samples @ mixing / 32).T)
    mean = torch.randn(4, 16, 16, generator=generator)
    return GaussianDenoiser(mean, covariance, denoiser), covariance


def test_gaussian_denoiser_is_the_posterior_mean(gaussian, steps):
    planted, covariance = gaussian
    for step in steps:
        alpha = torch.sigmoid(torch.tensor(step.log_snr, dtype=torch.double)) ** 0.5
        sigma = (1 - alpha**2) ** 0.5
        total = alpha**2 * covariance + sigma**2 * torch.eye(1024, dtype=torch.double)
        offset = step.latent.flatten().double() - alpha * planted.mean.flatten()
        gain = alpha * covariance
        clean = planted.mean.flatten() + gain @ torch.linalg.solve(total, offset)
        latent = step.latent[None].double()
        with torch.no_grad():
            output = planted.outputs(latent, step)[:, 1]
        found = planted.clean(latent, output, step)[0].flatten()
        torch.testing.assert_close(found, clean, rtol=1e-9, atol=1e-9)


def test_gaussian_jacobian_is_that_of_its_noise(gaussian, steps):
    planted, step = gaussian[0], steps[1]
    latent = step.latent[None].double().requires_grad_()
    noise = planted.noise(latent, planted.outputs(latent, step)[:, 1], step)
    noise[0, 2, 5, 7].backward()
    row = planted.jacobian(step)[2 * 256 + 5 * 16 + 7]
    torch.testing.assert_close(latent.grad.flatten(), row, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [CopyingDenoiser, ConstantDenoiser])
def test_blind_denoisers_ignore_the_prompt(denoiser, steps, kind):
    blind = kind(denoiser)
    for step in steps:
        latent = step.latent[None]
        with torch.no_grad():
            outputs = blind.outputs(latent, step)
        assert torch.equal(outputs[:, 0], outputs[:, 1])
        noise = blind.noise(latent, outputs[:, 1], step)
        expected = latent if kind is CopyingDenoiser else torch.zeros_like(latent)
        torch.testing.assert_close(noise, expected, rtol=1e-4, atol=1e-5)


def test_hooked_methods_see_the_layers_of_a_blind_denoiser(denoiser, steps):
    blind, seen = CopyingDenoiser(denoiser), []
    hook = denoiser.network.mid_block.register_forward_hook(lambda *given: seen.append(given[2]))
    latent = steps[0].latent[None].clone().requires_grad_()
    outputs = blind.outputs(latent, steps[0])
    (gradient,) = torch.autograd.grad(outputs.sum(), seen[0], retain_graph=True)
    hook.remove()
    assert torch.count_nonzero(gradient) == 0
    assert torch.autograd.grad(outputs[:, 1].sum(), latent)[0].abs().sum() > 0


def test_planted_denoisers_step_and_decode_like_the_real_one(denoiser, steps):
    step = steps[0]
    for planted in (GatedDenoiser(denoiser, "cat", steps=(1, 3)), CopyingDenoiser(denoiser)):
        output = planted.guided(step.outputs[None])
        assert torch.equal(planted.advance(step.latent[None], output, step)[0], step.after)
        with torch.no_grad():
            assert planted.decode(step.after[None]).shape == (1, 3, 64, 64)
