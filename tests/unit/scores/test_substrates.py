"""Substrates keep what they say, at every scheduler's scale, and their distance is measured."""

import numpy as np
import pytest
import torch
import yaml
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from stepscope.diffusion.schedule import Schedule
from stepscope.scores.game_scores import SCORES
from stepscope.scores.substrate_distances import distances
from stepscope.scores.substrates import SUBSTRATES, Parts, parts_of
from support.replayed import replay
from support.stepping import NOISE, SIGNAL, CellByCell, step
from support.workflow import ROOT

SIDE = 64


def known():
    """Parts of a latent whose clean picture is known, and its noise."""
    generator = torch.Generator().manual_seed(0)
    clean, eps, drawn = torch.randn(3, 4, SIDE, SIDE, generator=generator)
    clean = 2 * clean + torch.arange(4.0)[:, None, None]
    return Parts(SIGNAL * clean + NOISE * eps, clean, drawn, SIGNAL, NOISE), eps


def test_signal_keeps_the_noise_and_the_mean():
    parts, eps = known()
    mean = parts.clean.mean((1, 2), keepdim=True)
    expected = SIGNAL * mean + NOISE * eps
    torch.testing.assert_close(SUBSTRATES["signal"](parts), expected, rtol=0, atol=2e-6)


def test_renoise_keeps_the_signal_and_noise_the_size():
    parts, _ = known()
    renoised = SUBSTRATES["renoise"](parts)
    torch.testing.assert_close(renoised, SIGNAL * parts.clean + NOISE * parts.drawn)
    fresh = SUBSTRATES["noise"](parts)
    for name in ("mean", "std"):
        of_fresh, of_latent = (getattr(of, name)((1, 2)) for of in (fresh, parts.latent))
        torch.testing.assert_close(of_fresh, of_latent, atol=0.06, rtol=0.03)


@pytest.mark.parametrize("substrate", SUBSTRATES)
def test_numbers_are_drawn_by_seed_sample_and_step_alone(substrate):
    def made(seed=0, **about):
        parts = parts_of(CellByCell(), step(**{"number": 1} | about), seed)
        return SUBSTRATES[substrate](parts), parts.drawn

    torch.manual_seed(1)
    first, drawn = made()
    torch.manual_seed(2)
    again, _ = made()
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    others = [made(seed=1), made(number=2), made(prompt_id="other"), made(seed=0, number=3)]
    assert all((other != drawn).any() for _, other in others)
    seeded, _ = made(seed=1)
    assert bool((seeded != first).any()) == (substrate in ("noise", "renoise"))


@pytest.mark.parametrize(
    "scheduler",
    [DPMSolverMultistepScheduler(), EulerDiscreteScheduler(), FlowMatchEulerDiscreteScheduler()],
    ids=["dpm", "euler", "flow"],
)
def test_levels_are_those_by_which_the_library_adds_noise(scheduler):
    scheduler.set_timesteps(5)
    schedule = Schedule(scheduler, torch.device("cpu"))
    clean, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for number in (2, 4):
        made = step(number, log_snr=schedule.log_snr(number))
        at = scheduler.timesteps[[number - 1]]
        if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            noised = scheduler.scale_noise(clean, at, eps)
        else:
            noised = scheduler.add_noise(clean, eps, at)
        signal, noise = schedule.levels(made)
        torch.testing.assert_close(signal * clean + noise * eps, noised, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "guidance"), [("tiny_sd1", 4.0), ("tiny_sd2", 1.0)])
def test_the_parts_of_a_stored_step_are_its_latent(kind, guidance):
    denoiser, steps = replay(kind, guidance=guidance)
    made = steps[2]
    parts = parts_of(denoiser, made, 0)
    torch.testing.assert_close(parts.clean, made.denoised.float(), atol=2e-3, rtol=2e-3)
    guided = denoiser.guided(made.outputs[None])
    eps = denoiser.noise(made.latent[None], guided, made)[0]
    whole = parts.signal_level * parts.clean + parts.noise_level * eps
    torch.testing.assert_close(whole, made.latent, atol=1e-4, rtol=1e-4)


def test_distances_tell_what_keeps_the_noise():
    made = step(side=SIDE)
    found = {(row["substrate"], row["changed"]): row for row in distances(CellByCell(), made, 0)}
    assert found.keys() == {
        *((name, share) for name in SUBSTRATES for share in (0.5, 1.0)),
        ("flat", 1.0),
    }
    ratios = {key: np.array(list(row.values())[2:]) for key, row in found.items()}
    # a latent of known parts has NOISE^2 of its variance in noise, and `outputs` are that noise
    made = dict.fromkeys(("signal", "flat"), NOISE) | {"renoise": 1.0, "noise": 1.0, "zero": 0.0}
    for name, norm in made.items():
        expected = [norm, *[norm**2] * 3]
        np.testing.assert_allclose(ratios[name, 1.0], expected, atol=0.12)
    np.testing.assert_allclose(ratios["zero", 0.5], [0.5**0.5, *[0.5] * 3], atol=0.05)
    np.testing.assert_allclose(ratios["signal", 1.0], ratios["flat", 1.0], rtol=0.06)
    assert ratios["blur", 1.0][-1] < 0.1  # it takes away what is high in frequency


def test_the_config_takes_the_names_that_there_are():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
    games = schema["properties"]["games"]["properties"]
    for game in ("deletion", "insertion"):
        one, several = games[game]["anyOf"]
        assert one["enum"] == several["items"]["enum"] == list(SUBSTRATES)
    assert games["scores"]["items"]["enum"] == list(SCORES)
