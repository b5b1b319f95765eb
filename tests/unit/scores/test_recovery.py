"""Recovery straight from the trace: regions, bands and known trajectories."""

import numpy as np
import pandas as pd
import pytest
import torch

from stepscope.diffusion import prediction
from stepscope.pictures.regions import split
from stepscope.scores import gaussian_null, recovery
from stepscope.store.traces import Recorded
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, masks, trace

SIDE = 12
MASK = np.zeros((SIDE, SIDE))
MASK[4:8, 4:8] = 1
NOTHING = np.zeros(4)  # the mean of latents about which nothing is known


def test_regions_and_bands_split_the_grid_without_overlap():
    regions = split(MASK)
    assert (regions.sum(0) == 1).all()
    assert regions.sum((1, 2)).tolist() == [16, SIDE**2 - 36, 20]
    bands = recovery.bands((SIDE, 10))
    assert (bands.sum(0) == 1).all()
    assert bands[0, 0, 0]


def test_over_the_whole_grid_the_parts_sum_to_the_squared_error():
    rng = np.random.default_rng(0)
    denoised, final = rng.normal(size=(3, 4, SIDE, SIDE)), rng.normal(size=(4, SIDE, SIDE))
    errors = recovery.errors(denoised, final, MASK)
    np.testing.assert_allclose(errors.sum((1, 2)), ((denoised - final) ** 2).sum((1, 2, 3)))


@pytest.mark.parametrize("first", [1, 0.9, 60], ids=["mean", "less", "overshoot"])
def test_a_share_is_of_what_the_mean_latent_leaves_and_a_nat(first):
    final = np.random.default_rng(0).normal(size=(4, SIDE, SIDE))
    left = np.sqrt([first, 0.75, 0.5, 0.25, 0])[:, None, None, None]  # of the mean's error
    log_snr = np.array([-6, -4, -3, -1, 4])
    share = recovery.recovered(final - left * final, final, MASK, NOTHING, log_snr)
    assert np.isnan(share[0]).all()
    np.testing.assert_allclose(share[1], (first - 0.75) / 2)
    np.testing.assert_allclose(share[2:, 0, 0], [0.25, 0.125, 0.05])
    np.testing.assert_allclose(share[2:], share[2:, :1, :1] * np.ones((3, 3)))
    shifted = recovery.recovered(3 + final - left * final, 3 + final, MASK, NOTHING + 3, log_snr)
    np.testing.assert_allclose(shifted, share)


def test_a_band_and_a_region_are_recovered_at_their_own_step():
    y, x = np.mgrid[:SIDE, :SIDE]
    low, high = np.cos(2 * np.pi * y / SIDE), np.cos(np.pi * x)
    final = (low + high)[None]
    parts = np.stack([[0 * low], [low], [low + high]])  # low comes first
    share = recovery.recovered(parts, final, MASK, np.zeros(1), np.arange(3))
    np.testing.assert_allclose(share[:, 1, 0], [np.nan, 1, 0], atol=1e-9)
    np.testing.assert_allclose(share[:, 1, 2], [np.nan, 0, 1], atol=1e-9)
    assert np.isnan(share[:, :, 1]).all()  # there never was an error of the middle band


def test_an_empty_region_and_a_missing_mask_are_not_scored():
    rng = np.random.default_rng(0)
    denoised, final = rng.normal(size=(3, 1, SIDE, SIDE)), rng.normal(size=(1, SIDE, SIDE))
    rest = np.zeros(1), np.arange(3)
    empty = recovery.recovered(denoised, final, np.zeros((SIDE, SIDE)), *rest)
    assert np.isnan(empty[:, [0, 2]]).all()
    assert np.isfinite(empty[1:, 1]).all()
    unknown = np.full((SIDE, SIDE), np.nan)
    assert np.isnan(recovery.recovered(denoised, final, unknown, *rest)).all()


@pytest.mark.parametrize(("guidance", "rescale"), [(4.0, 0.0), (4.0, 0.7), (1.0, 0.0)])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample", "flow"])
def test_clean_latents_of_the_halves_follow_from_the_guided_one(kind, guidance, rescale):
    generator = torch.Generator().manual_seed(0)
    z, log_snr = torch.randn(3, 1, 2, 4, 4, generator=generator).double(), np.array([-5, 0, 3.0])
    outputs = torch.randn(3, 2, 2, 4, 4, generator=generator).double()
    if guidance <= 1:
        outputs[:, 0] = torch.nan
    mixed = prediction.guided(outputs, guidance, rescale)[:, None]
    exact, of_guided = (
        torch.stack(
            [prediction.clean(*pair, kind) for pair in zip(z, of, log_snr, strict=True)]
        ).numpy()
        for of in (outputs, mixed)
    )
    sample = Recorded(z[:, 0].numpy(), outputs.numpy(), of_guided[:, 0])
    attrs = {"guidance": guidance, "guidance_rescale": rescale, "prediction_type": kind}
    found = recovery.halves(sample, log_snr, attrs)
    np.testing.assert_allclose(found, exact.swapaxes(0, 1), rtol=1e-9, atol=1e-9)


def table_of(tree, finals):
    inside = np.kron(np.eye(2), np.ones((8, 8)))
    moments = gaussian_null.moments(finals)
    return recovery.recovery_table(tree, masks(tree, inside), moments, KEYS)


def test_the_table_has_a_row_per_sample_step_prediction_region_and_band():
    tree = trace(samples=2, steps=4, side=8)
    finals = tree["latent/value"].to_numpy()[:, -1]
    frame = table_of(tree, finals)
    assert tuple(frame.columns) == TABLES["rq1_recovery"].columns
    assert len(frame) == 2 * 4 * 4 * 3 * 3
    assert frame[frame["step"] == 1]["recovered"].isna().all()
    wide = frame.pivot_table(
        index=["seed", "region", "band"], columns=["prediction", "step"], values="recovered"
    )
    # the error of synthetic traces falls to 4 / 9 a step, of two nats each, whatever its size
    np.testing.assert_allclose(wide["guided", 3] / wide["guided", 2], 4 / 9, rtol=1e-4)
    for half in ("e_u", "e_c"):  # which say the same there
        np.testing.assert_allclose(wide[half], wide["guided"], rtol=1e-4)
    pd.testing.assert_frame_equal(frame, table_of(tree, finals))


def test_a_trace_of_the_null_itself_recovers_nothing_beyond_it():
    tree = trace(samples=3, steps=4, side=8)
    rng = np.random.default_rng(1)
    finals = rng.normal(size=(5, 2, 8, 8)).cumsum(-1).cumsum(-2)
    mean, spectra = gaussian_null.moments(finals)
    noise = rng.normal(size=(3, 2, 8, 8))
    noise /= np.sqrt(np.mean(noise**2, axis=(1, 2, 3), keepdims=True))
    log_snr = tree["log_snr"].to_numpy()
    clean = np.stack([gaussian_null.predictions(one, log_snr, mean, spectra) for one in noise])
    latent = np.repeat(clean[:, -1:], 5, axis=1)
    latent[:, 0] = 7 * noise  # on whatever scale a sampler keeps them
    tree["latent"].dataset = (
        tree["latent"].to_dataset().assign(value=(tree["latent/value"].dims, latent))
    )
    tree["denoised"].dataset = (
        tree["denoised"].to_dataset().assign(value=(tree["denoised/value"].dims, clean))
    )
    wide = table_of(tree, finals).pivot_table(
        index=["prompt_id", "seed", "step", "region", "band"],
        columns="prediction",
        values="recovered",
    )
    np.testing.assert_allclose(wide["guided"], wide["gaussian"], rtol=1e-6, atol=1e-9)
