"""Continuations of a planted sampler: what is decided at a known step, and at what cost."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from stepscope.diffusion import samplings
from stepscope.diffusion.continuation import Branch, calls, continued
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.prediction import levels
from stepscope.diffusion.schedule import Schedule
from stepscope.diffusion.step import Step
from stepscope.scores import commitment

STEPS = 6
SAMPLING = {"kind": "log_snr", "steps": STEPS, "start": -6, "end": 6}
DPM = {"name": "dpmsolver++", "order": 1}


def schedule(spec=DPM, prediction_type="sample", kind=Schedule):
    own = DDPMScheduler(prediction_type=prediction_type)
    made = samplings.make_scheduler(spec, own, SAMPLING)
    samplings.schedule(made, SAMPLING)
    return kind(made, torch.device("cpu"))


class Deciding(Denoiser):
    """Draws what it is told, +1 or -1 everywhere, up to step `last`; then what is there already."""

    def __init__(self, scheduler, device, last):
        Schedule.__init__(self, scheduler, device)  # there is no pipeline
        self.last, self.rows = last, 0

    def outputs(self, latents, step, conditioning=None, *, prompt_only=False):
        self.rows += len(latents)
        told = conditioning["told"][:, 1].reshape(-1, 1, 1, 1)
        there = latents.mean((1, 2, 3), keepdim=True).sign()
        early = torch.tensor([one.number <= self.last for one in step]).reshape(-1, 1, 1, 1)
        clean = torch.where(early, told, there).expand_as(latents)
        return torch.stack([clean, clean], 1)

    def guided(self, outputs):
        return outputs[:, 1]


def told(value):
    return {"told": torch.tensor([0.0, float(value)])}


def deciding(last):
    return schedule(kind=lambda made, device: Deciding(made, device, last))


def trajectory(sampler, value, seed=0):
    """Stored steps of a sample that is told a value."""
    latent = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(seed))
    found = []
    for number in range(1, STEPS + 1):
        of_step = {"prompt": "", "negative_prompt": "", "prompt_id": "p", "seed": seed}
        step = Step(
            number=number,
            timestep=0.0,
            log_snr=sampler.log_snr(number),
            latent=latent,
            after=latent,
            outputs=torch.empty(0),
            denoised=latent,
            conditioning=told(value),
            words=(),
            **of_step,
        )
        outputs = sampler.outputs(latent[None], [step], {"told": told(value)["told"][None]})
        latent = sampler.advance(latent[None], sampler.guided(outputs), step)[0]
        found.append(dataclasses.replace(step, after=latent))
    return found


@pytest.mark.parametrize("last", [1, 3, STEPS])
def test_a_planted_decision_is_dated_in_both_directions(last):
    sampler = deciding(last)
    stored, starts = trajectory(sampler, 1), commitment.starts_of(STEPS, 1)
    branches = commitment.branches_of(stored, told(-1), starts, 0)
    finals = continued(sampler, branches, 4).mean((1, 2, 3)).sign().numpy()
    sequences = commitment.in_order(finals, stored[-1].after.mean().sign().numpy())
    log_snr = np.array([step.log_snr for step in stored])
    ends = [*log_snr, np.inf]
    for trajectory_, new in (("stored", -1), ("swapped", 1)):
        shown = sequences[trajectory_]
        np.testing.assert_array_equal(shown[:-1] == new, np.array(starts) <= last)
        assert shown[-1] == -new
        won = commitment.wins(new * shown, -new * shown)
        assert commitment.interval(won, log_snr) == (ends[last - 1], ends[last])


def test_a_sampler_that_ignores_its_prompt_is_never_overridden():
    sampler = deciding(0)
    stored = trajectory(sampler, 1)
    branches = [Branch(stored, start, told(-1)) for start in range(1, STEPS + 1)]
    finals = continued(sampler, branches)
    assert (finals.mean((1, 2, 3)).sign() == stored[-1].after.mean().sign()).all()


@pytest.mark.parametrize("every", [1, 2, 4])
def test_calls_are_those_that_are_left_of_each_trajectory(every):
    sampler = deciding(3)
    stored, starts = trajectory(sampler, 1), commitment.starts_of(STEPS, every)
    sampler.rows = 0
    there = [Branch(stored, start, told(-1)) for start in starts]
    continued(sampler, there)
    assert sampler.rows == calls(there) == sum(STEPS - start + 1 for start in starts)
    assert every > 1 or sampler.rows == STEPS * (STEPS + 1) / 2
    both = commitment.branches_of(stored, told(-1), starts, 0)
    assert calls(both) == 2 * calls(there) - STEPS  # the way back begins with the stored one


def test_the_same_prompt_leads_to_the_stored_picture_and_order_does_not_matter():
    sampler = deciding(3)
    stored = [trajectory(sampler, value, seed) for seed, value in enumerate((1, -1))]
    branches = [
        Branch(steps, start, steps[0].conditioning) for start in (4, 1, 6) for steps in stored
    ]
    finals = continued(sampler, branches, 4)
    for final, branch in zip(finals, branches, strict=True):
        torch.testing.assert_close(final, branch.steps[-1].after, rtol=1e-5, atol=1e-6)


def test_a_branch_behind_one_that_begins_no_earlier_is_refused():
    sampler = deciding(3)
    stored = trajectory(sampler, 1)
    branches = [Branch(stored, 3, told(1)), Branch(stored, 3, told(1), behind=0)]
    with pytest.raises(ValueError, match="begins at step 3 is behind branch 0"):
        continued(sampler, branches)


def test_fresh_noise_is_that_of_sample_draw_and_step_alone():
    sampler = deciding(3)
    stored = [trajectory(sampler, 1, seed) for seed in (0, 1)]
    branches = [
        Branch(steps, start, told(1), draw=draw)
        for steps in stored
        for start in (2, 5)
        for draw in (0, 1)
    ]
    finals = continued(sampler, branches)
    alone = [continued(sampler, [branch], 1)[0] for branch in branches]
    torch.testing.assert_close(finals, torch.stack(alone), rtol=1e-6, atol=1e-7)
    assert torch.equal(finals, continued(sampler, branches))
    # the last step's clean prediction is the whole picture here, so that states are compared
    states = [
        sampler.ancestral(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8), [stored[0][1]], noise)
        for noise in torch.randn(2, 1, 2, 8, 8)
    ]
    assert not torch.allclose(*states)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_an_ancestral_step_is_the_librarys_ddpm_step(prediction_type):
    ours, ddpm = (schedule(spec, prediction_type) for spec in (DPM, {"name": "ddpm"}))
    rng = torch.Generator().manual_seed(0)
    latents, output = torch.randn(2, 3, 2, 8, 8, generator=rng)
    for step in trajectory(deciding(3), 1):
        seeds = [torch.Generator().manual_seed(seed) for seed in range(3)]
        noise = torch.stack([torch.randn(2, 8, 8, generator=one) for one in seeds])
        scheduler = ddpm._at(step)
        seeds = [torch.Generator().manual_seed(seed) for seed in range(3)]
        when = scheduler.timesteps[step.number - 1]
        theirs = scheduler.step(output, when, latents, generator=seeds).prev_sample
        found = ours.ancestral(latents, output, step, noise)
        torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["euler", "dpmsolver++"])
def test_an_ancestral_step_has_the_next_steps_noise_in_every_scale(name):
    sampler = schedule({"name": name}, "epsilon")
    for step in trajectory(deciding(3), 1)[:-1]:
        zero, one = torch.zeros(1, 2, 8, 8), torch.ones(1, 2, 8, 8)
        alpha, sigma = levels(step.log_snr, "epsilon")
        old = one * (sigma / alpha if name == "euler" else sigma)  # noise of 1, clean 0
        kept = sampler.ancestral(old, one, step, zero).mean().item()
        fresh = sampler.ancestral(zero, zero, step, one).mean().item()
        alpha, sigma = levels(sampler.log_snr(step.number + 1), "epsilon")
        wanted = sigma / alpha if name == "euler" else sigma
        assert np.hypot(kept, fresh) == pytest.approx(wanted, rel=1e-4)
        assert fresh > 0
