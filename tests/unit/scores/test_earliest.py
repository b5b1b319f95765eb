"""Nearby noises in a planted sampler: what becomes of them is decided at a known step."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from stepscope.diffusion import samplings
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.schedule import Schedule
from stepscope.scores import earliest
from stepscope.statistics.earliest import FIRST, curves
from support.stepping import step
from support.synthetic import KEYS

STEPS, NOISES, PAIRS = 6, 40, 2
SAMPLING = {"kind": "log_snr", "steps": STEPS, "start": -6, "end": 6}
CONCEPTS = {"sign": ["minus", "plus"]}
OPTIONS = {"draws": 200, "confidence": 0.95, "seed": 0}


class Committing(Denoiser):
    """Predicts nothing before step `first`, then by the latent's mean +1 or -1 everywhere."""

    def __init__(self, first):
        own = DDPMScheduler(prediction_type="sample")
        made = samplings.make_scheduler({"name": "dpmsolver++", "order": 1}, own, SAMPLING)
        samplings.schedule(made, SAMPLING)
        Schedule.__init__(self, made, torch.device("cpu"))  # there is no pipeline
        self.first, self.rows = first, 0

    def outputs(self, latents, steps, conditioning=None):
        self.rows += len(latents)
        sign = latents.mean((1, 2, 3), keepdim=True).sign()
        known = steps[0].number >= self.first
        clean = (sign if known else torch.zeros_like(sign)).expand_as(latents)
        return torch.stack([clean, clean], 1)

    def guided(self, outputs):
        return outputs[:, 1]


def firsts(denoiser, count=NOISES):
    """First steps from noises of their own."""
    return [
        step(
            seed=seed,
            prompt_id=f"p{seed}",
            log_snr=denoiser.log_snr(1),
            latent=torch.randn(4, 12, 12, generator=torch.Generator().manual_seed(seed)),
        )
        for seed in range(count)
    ]


def measured(first, distance, count=NOISES):
    """Pairs of a sampler, and their rows as a table."""
    denoiser = Committing(first)
    start = firsts(denoiser, count)
    found = earliest.paired(denoiser, start, PAIRS, distance)
    assert denoiser.rows == count * (1 + PAIRS) * STEPS
    signs = found.finals.mean((2, 3, 4)).numpy()
    readings = {"eye": {"sign": np.stack([signs < 0, signs > 0], -1).astype(float)}}
    times = {
        "step": np.arange(1, STEPS + 1),
        "timestep": np.arange(STEPS, 0, -1.0),
        "log_snr": np.array([denoiser.log_snr(number) for number in range(1, STEPS + 1)]),
    }
    rows = earliest.rows_of(start, found, readings, CONCEPTS, times)
    return found, rows.assign(**KEYS)


@pytest.mark.parametrize("first", [1, 3])
def test_flips_are_told_from_the_step_at_which_they_are_decided(first):
    found, rows = measured(first, 0.8)
    again, _ = measured(first, 0.8)
    assert found.clean.tobytes() == again.clean.tobytes()
    assert torch.equal(found.finals, again.finals)
    assert len(rows) == NOISES * PAIRS * STEPS
    assert 8 < rows.drop_duplicates(["prompt_id", "pair"])["flipped"].sum() < NOISES
    summary = curves(rows, **OPTIONS)
    told = summary[summary["compared"] == FIRST].set_index("quantity")["step"]
    # a state has what was predicted in the step before
    assert told.to_dict() == {"log_snr_clean": first, "log_snr_state": first + 1}


def test_the_same_noise_stays_the_same_bit_by_bit_and_nothing_flips():
    found, rows = measured(1, 0.0, count=10)
    assert not found.clean.any()
    assert not found.state.any()
    own, *others = found.finals
    assert all(torch.equal(own, other) for other in others)
    summary = curves(rows, **OPTIONS).set_index("quantity")
    assert summary["estimate"].dropna().to_dict() == {"flipped": 0}
    reason = "not testable: 0 of 20 pairs flip, and 8 of either kind are needed"
    assert summary.loc[["log_snr_clean", "log_snr_state"], "compared"].eq(reason).all()
    assert curves(rows[:0], **OPTIONS).empty  # of a study whose families all need a name


@pytest.mark.parametrize("distance", [0.2, 1.0])
def test_a_nearby_noise_is_noise_and_as_near_as_it_is_asked_for(distance):
    made = step(latent=torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(0)))
    near, other = (earliest.nearby(made, 1.0, distance, number) for number in (0, 1))
    assert near.std().item() == pytest.approx(1, abs=0.02)
    both = torch.corrcoef(torch.stack([made.latent.ravel(), near.ravel()]))[0, 1].item()
    assert both == pytest.approx(np.sqrt(1 - distance**2), abs=0.03)
    assert not torch.equal(near, other)
    assert torch.equal(near, earliest.nearby(made, 1.0, distance, 0))
