"""Real pictures become traces of the same kind: noised step by step, or inverted and sampled."""

import numpy as np
import pytest
import torch
from PIL import Image

from stepscope.diffusion import samplings
from stepscope.diffusion.denoiser import Denoiser
from stepscope.models import autoencoder
from stepscope.tracing import real_pictures
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny

PROMPTS = ["a red cat", "a ball above a zebra"]
SETTINGS = {
    "sampling": {"kind": "uniform", "steps": 3},
    "scheduler": {"name": "euler"},
    "guidance": 2.0,
    "negative_prompt": "",
    "height": 48,
    "width": 64,
    "roles": [{"subject": "cat"}, {}],
}
CASES = [
    ("tiny_sd1", "euler"),
    ("tiny_sd1", "dpmsolver++"),
    ("tiny_sd2", "dpmsolver++"),
    ("tiny_xl", "euler"),
    ("tiny_pixart", "dpmsolver++"),
    ("tiny_sd3", "euler"),
    ("tiny_sd3", "dpmsolver++"),
]


def settings(name):
    return SETTINGS | {"scheduler": {"name": name}}


def denoiser_of(pipeline, options):
    names = ("sampling", "scheduler", "guidance")
    return Denoiser(pipeline, **{name: options[name] for name in names})


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    """A pipeline, its settings, and clean latents of two pictures that it made itself."""
    kind, name = request.param
    pipeline, options = getattr(tiny, kind)(), settings(name)
    found = trace_prompts(pipeline, PROMPTS, [0, 1], **options)
    return pipeline, options, found.latents[:, -1]


def test_noised_latents_are_the_picture_at_each_steps_level(case):
    pipeline, options, clean = case
    found = real_pictures.noised(pipeline, PROMPTS, [2, 3], clean, **options)
    assert torch.equal(found.latents[:, -1], clean)
    noise = torch.stack([torch.randn(clean[0].shape, generator=seeded(seed)) for seed in (2, 3)])
    for k, step in enumerate(steps_of(found, 0)):
        ratio = torch.tensor(found.sigmas[k])
        flow, unscaled = found.prediction_type == "flow", options["scheduler"]["name"] == "euler"
        total = 1 + ratio if flow else torch.ones(()) if unscaled else (1 + ratio**2).sqrt()
        signal = 1 / total
        level = torch.ones(()) if ratio.isinf() else ratio / total
        expected = signal * clean + level * noise
        torch.testing.assert_close(found.latents[:, k], expected.float(), rtol=1e-4, atol=1e-4)
        assert step.attention
    assert found.words[0][2].role == "subject"


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_noised_steps_replay(case):
    pipeline, options, clean = case
    found = real_pictures.noised(pipeline, PROMPTS, [2, 3], clean, **options)
    denoiser = denoiser_of(pipeline, options)
    for step in steps_of(found, 1):
        rows = torch.stack([torch.zeros_like(step.latent), step.latent])
        with torch.no_grad():
            outputs = denoiser.outputs(rows, step)
        assert torch.equal(outputs[1], step.outputs)


def test_inversion_finds_the_noise_that_made_a_picture(case, monkeypatch):
    pipeline, options, clean = case
    monkeypatch.setattr(real_pictures, "ITERATIONS", 40)
    found, error = real_pictures.inverted(pipeline, PROMPTS, [8, 9], clean, **options)
    assert error.shape == (2,)
    assert error.max() < 1e-6
    np.testing.assert_allclose(found.latents[:, -1], clean, atol=2e-3 * float(clean.abs().max()))


def test_the_reconstruction_error_is_that_of_the_last_latent():
    pipeline, options = tiny.tiny_sd1(), settings("euler")
    clean = torch.randn(2, 4, 12, 16, generator=seeded(0))
    found, error = real_pictures.inverted(pipeline, PROMPTS, [0, 1], clean, **options)
    expected = [
        float(((a - b) ** 2).sum() / (b**2).sum())
        for a, b in zip(found.latents[:, -1], clean, strict=True)
    ]
    np.testing.assert_allclose(error, expected, rtol=1e-4)
    assert error.min() > 0


@pytest.mark.parametrize("scheduler", [{"name": "ddpm"}, {"name": "dpmsolver++", "order": 2}])
def test_steps_that_cannot_be_inverted_are_refused(scheduler):
    options = SETTINGS | {"scheduler": scheduler}
    with pytest.raises(ValueError, match="inversion needs steps without noise and history"):
        real_pictures.inverted(
            tiny.tiny_sd1(), PROMPTS, [0, 1], torch.zeros(2, 4, 12, 16), **options
        )


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_sd3"])
def test_pictures_are_resized_and_encoded_as_they_are_decoded(kind, tmp_path):
    denoiser = denoiser_of(getattr(tiny, kind)(), SETTINGS)
    small = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(small).save(tmp_path / "small.png")
    Image.fromarray(small).resize((64, 64), 0).save(tmp_path / "square.png")
    paths = [str(tmp_path / name) for name in ("small.png", "square.png")]
    found, square = real_pictures.read(paths, denoiser.pipeline, 48, 64)
    assert found.shape == square.shape == (4, 12, 16)
    plain = torch.from_numpy(small[None] / 127.5 - 1).float().permute(0, 3, 1, 2)
    (expected,) = autoencoder.encode(denoiser.pipeline, plain)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    vae, config = denoiser.pipeline.vae, denoiser.pipeline.vae.config
    with torch.no_grad():
        mode = vae.encode(plain).latent_dist.mode()
        decoded = (vae.decode(mode).sample * 0.5 + 0.5).clamp(0, 1)
        again = denoiser.decode(found[None])
    shift = config.shift_factor or 0
    torch.testing.assert_close(found, ((mode - shift) * config.scaling_factor)[0])
    torch.testing.assert_close(again, decoded, rtol=1e-3, atol=1e-3)


def test_pictures_without_a_size_get_the_models_own(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    found = real_pictures.read([str(tmp_path / "small.png")], tiny.tiny_sd1(), None, None)
    assert found.shape == (1, 4, 16, 16)


def test_a_torn_picture_is_named(tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"torn.png: the file cannot be read as a picture"):
        real_pictures.read([str(tmp_path / "torn.png")], tiny.tiny_sd1(), None, None)


def test_dpm_of_first_order_is_ddim():
    """The sampler of the default study against the library's DDIM, at a constant stride."""
    from diffusers import DDIMScheduler

    own = tiny.tiny_sd1().scheduler
    sampling = {"kind": "custom", "timesteps": [801, 601, 401, 201, 1]}
    ours = samplings.make_scheduler({"name": "dpmsolver++", "order": 1}, own, sampling)
    samplings.schedule(ours, sampling)
    ddim = DDIMScheduler.from_config(
        own.config,
        clip_sample=False,
        timestep_spacing="leading",
        steps_offset=1,
        set_alpha_to_one=True,
    )
    ddim.set_timesteps(5)
    assert ddim.timesteps.tolist() == ours.timesteps.tolist()
    x = y = torch.randn(1, 4, 8, 8, generator=seeded(0))
    for t in ours.timesteps:
        noise = torch.randn(x.shape, generator=seeded(int(t)))
        x = ours.step(noise, t, x).prev_sample
        y = ddim.step(noise, t, y, eta=0.0).prev_sample
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)
