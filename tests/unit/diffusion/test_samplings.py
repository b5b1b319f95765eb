"""Time steps are the published ones and schedulers use exactly these."""

import itertools

import numpy as np
import pytest
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)

from stepscope.diffusion.prediction import PURE_NOISE, levels, log_snr_of
from stepscope.diffusion.samplings import (
    call_arguments,
    make_scheduler,
    prediction_type,
    schedule,
    sigmas_of,
)
from stepscope.models.noise_levels import log_snr_levels
from stepscope.timesteps import timesteps

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
STABLE_DIFFUSION = PNDMScheduler(**BETAS, steps_offset=1)  # as on the hub
EARLY = (
    "999 893 884 875 865 854 842 829 816 801 785 768 749 729 708 684 659 632 602 571 536 499 459 "
    "416 370 319 265 206 143 74"
)
DPM = {"name": "dpmsolver++", "order": 1}
UNIFORM = {"kind": "uniform", "steps": 20}
LEVELS = log_snr_levels("diffusion", STABLE_DIFFUSION.config)
SHORTER = PNDMScheduler(**BETAS, num_train_timesteps=300)
LOG_SNR = {"kind": "log_snr", "steps": 9, "start": -5.0, "end": 3.0}
FLOW = FlowMatchEulerDiscreteScheduler(shift=3.0)  # as Stable Diffusion 3's


def scheduled(sampling, spec=DPM):
    scheduler = make_scheduler(spec, STABLE_DIFFUSION, sampling)
    schedule(scheduler, sampling)
    return scheduler


def test_early_is_the_published_list():
    found = timesteps({"kind": "early", "steps": 30, "gamma": 60}, LEVELS)
    assert found == [int(t) for t in EARLY.split()]


def test_latter_is_the_published_list():
    found = timesteps({"kind": "latter", "steps": 30, "gamma": 60}, LEVELS)
    assert len(found) == 30
    assert found[:4] == [999, 926, 857, 794]
    assert found[-3:] == [125, 116, 107]


@pytest.mark.parametrize(("kind", "last"), [("uniform", 3.44), ("early", 2.52), ("latter", 2.05)])
def test_samplings_end_at_the_published_log_snr(kind, last):
    sigmas = sigmas_of(scheduled({"kind": kind, "steps": 30, "gamma": 60}))
    assert log_snr_of(sigmas[-2]) == pytest.approx(last, abs=0.005)
    assert sigmas[-1] == 0


@pytest.mark.parametrize("spec", [DPM, {"name": "euler"}, {"name": "ddpm"}])
def test_sigmas_belong_to_the_time_steps_asked_for(spec):
    chosen = timesteps({"kind": "early", "steps": 20, "gamma": 60}, LEVELS)
    scheduler = scheduled({"kind": "early", "steps": 20, "gamma": 60}, spec)
    kept = scheduler.alphas_cumprod.double().numpy()[chosen]
    assert scheduler.timesteps.tolist() == chosen
    np.testing.assert_allclose(sigmas_of(scheduler)[:-1], np.sqrt((1 - kept) / kept), rtol=1e-6)


def test_uniform_is_linear_without_an_offset():
    scheduler = scheduled({"kind": "uniform", "steps": 20})
    expected = np.linspace(0, 999, 21).round()[:0:-1]
    assert scheduler.timesteps.tolist() == expected.astype(int).tolist()


@pytest.mark.parametrize("spec", [DPM, {"name": "euler"}, {"name": "ddpm"}])
@pytest.mark.parametrize("kind", ["early", "latter"])
def test_matched_samplings_end_where_uniform_does_and_keep_their_shape(kind, spec):
    entry = {"kind": kind, "steps": 20, "gamma": 60}
    published, matched, uniform = (
        scheduled(sampling, spec).timesteps.tolist()
        for sampling in (entry, entry | {"end": "uniform"}, UNIFORM)
    )
    assert matched[0] == published[0] == 999
    assert matched[-1] == uniform[-1]
    assert all(a > b for a, b in itertools.pairwise(matched))
    scale = (999 - uniform[-1]) / (999 - published[-1])
    np.testing.assert_allclose(
        np.subtract(999, matched), scale * np.subtract(999, published), atol=0.5
    )


def test_an_end_that_makes_steps_repeat_is_refused():
    with pytest.raises(
        ValueError, match=r"^gamma: 60 makes early sampling .* end at time step 990"
    ):
        timesteps({"kind": "early", "steps": 20, "gamma": 60, "end": "uniform"}, LEVELS, 990)


@pytest.mark.parametrize("kind", ["early", "latter"])
def test_repeated_time_steps_are_refused_with_the_remedy(kind):
    with pytest.raises(ValueError, match=r"^gamma: 1 .* the smallest that works is (\d+)\.$") as e:
        timesteps({"kind": kind, "steps": 30, "gamma": 1}, LEVELS)
    smallest = int(str(e.value).rsplit(" ", 1)[1].rstrip("."))
    assert len(set(timesteps({"kind": kind, "steps": 30, "gamma": smallest}, LEVELS))) == 30
    with pytest.raises(ValueError, match=f"smallest that works is {smallest}"):
        timesteps({"kind": kind, "steps": 30, "gamma": smallest - 1}, LEVELS)


def test_impossible_numbers_of_steps_are_refused():
    with pytest.raises(ValueError, match="no gamma works"):
        timesteps({"kind": "early", "steps": 990, "gamma": 60}, LEVELS)


def test_custom_time_steps_descend():
    assert timesteps({"kind": "custom", "timesteps": [999, 10]}, LEVELS) == [999, 10]
    with pytest.raises(ValueError, match="descend"):
        timesteps({"kind": "custom", "timesteps": [10, 10]}, LEVELS)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"^kind: 'late' is no sampling"):
        timesteps({"kind": "late", "steps": 3}, LEVELS)


@pytest.mark.parametrize("spec", [DPM, {"name": "euler"}, {"name": "ddpm"}])
def test_steps_are_equally_spaced_in_log_snr(spec):
    scheduler = scheduled(LOG_SNR, spec)
    found = -2 * np.log(sigmas_of(scheduler)[:-1])
    np.testing.assert_allclose(found, np.linspace(-5, 3, 9), atol=0.02)
    # none of the schedule's other time steps is nearer
    for level, chosen in zip(np.linspace(-5, 3, 9), scheduler.timesteps.tolist(), strict=True):
        assert np.abs(np.array(LEVELS) - level).argmin() == chosen


def test_without_ends_a_sampling_in_log_snr_takes_those_of_the_schedule():
    chosen = timesteps({"kind": "log_snr", "steps": 20}, LEVELS)
    assert (len(chosen), chosen[0], chosen[-1]) == (20, 999, 0)
    # a flow has neither noise alone nor a clean picture between its ends
    assert timesteps({"kind": "log_snr", "steps": 3}, log_snr_levels("flow", {})) == [999, 500, 1]
    pure = DDIMScheduler(**BETAS, rescale_betas_zero_snr=True).config
    levels = log_snr_levels("diffusion", pure)
    assert levels[-1] == -np.inf
    assert timesteps({"kind": "log_snr", "steps": 2}, levels) == [998, 0]


def test_a_flow_is_equally_spaced_in_log_snr_too():
    found = sigmas_of(flowing(LOG_SNR, {"name": "euler"}))[:-1]
    np.testing.assert_allclose(-2 * np.log(found), np.linspace(-5, 3, 9), atol=0.006)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": -5.5}, r"^start: log-SNR -5\.5 is not .* goes from -5\.36 to 7\.07\.$"),
        ({"end": 9}, r"^end: log-SNR 9 is not of the model's noise schedule"),
        ({"start": 3, "end": 3}, r"^end: log-SNR 3 is not above the start, 3;"),
        ({"steps": 1000}, r"^steps: 1000 of 1000 trained time steps; 999 are possible"),
        ({"end": 7.07, "steps": 40}, r"^steps: 40 .* step 2 \(log-SNR 5\.96\) twice; 27 are"),
    ],
)
def test_levels_that_a_model_does_not_have_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        timesteps(LOG_SNR | change, LEVELS)


def test_as_many_steps_as_a_refusal_says_are_possible():
    assert len(timesteps({"kind": "log_snr", "steps": 28}, LEVELS)) == 28
    with pytest.raises(ValueError, match="28 are possible"):
        timesteps({"kind": "log_snr", "steps": 29}, LEVELS)


@pytest.mark.parametrize(
    ("sampling", "ends"),
    [
        ({"kind": "early", "steps": 10, "gamma": 20}, (299, 300 - int(300 ** (29 / 30)))),
        ({"kind": "latter", "steps": 10, "gamma": 20}, (299, int(300 ** (21 / 30)))),
        ({"kind": "uniform", "steps": 10}, (299, 30)),
        (LOG_SNR | {"start": -1.0}, None),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_samplings_are_of_the_time_steps_that_a_model_was_trained_on(sampling, ends):
    made = make_scheduler(DPM, SHORTER, sampling)
    schedule(made, sampling)
    chosen = made.timesteps.tolist()
    if ends:
        assert (chosen[0], chosen[-1]) == ends
    else:
        found = -2 * np.log(sigmas_of(made)[[0, -2]])
        np.testing.assert_allclose(found, [-1, 3], atol=0.05)
    assert 299 >= chosen[0] > chosen[-1]
    with pytest.raises(ValueError, match=r"^(steps|timesteps): (300|999) "):
        timesteps(
            {"kind": "custom", "timesteps": [999]} if ends is None else sampling | {"steps": 300},
            log_snr_levels("diffusion", SHORTER.config),
        )


def test_a_flow_of_other_time_steps_takes_them_as_shares_of_its_own():
    flow = FlowMatchEulerDiscreteScheduler(num_train_timesteps=500)
    sampling = {"kind": "custom", "timesteps": [499, 100]}
    assert call_arguments(flow, sampling, "sigmas")["sigmas"] == [0.998, 0.2]


@pytest.mark.parametrize(
    "options",
    [
        BETAS,
        {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "sigmoid", "num_train_timesteps": 300},
        {"trained_betas": [0.1, 0.2, 0.3], "num_train_timesteps": 3},
        BETAS | {"rescale_betas_zero_snr": True},
    ],
)
def test_levels_are_those_of_the_librarys_schedule(options):
    scheduler = DDPMScheduler(**options)
    kept = scheduler.alphas_cumprod.double().numpy()
    with np.errstate(divide="ignore"):
        expected = np.log(kept / (1 - kept))
    np.testing.assert_allclose(log_snr_levels("diffusion", scheduler.config), expected, atol=1e-3)


def test_a_schedule_that_is_not_known_is_refused_where_its_levels_are_needed():
    levels = log_snr_levels("diffusion", {"beta_schedule": "laplace", "beta_start": 1e-4})
    assert timesteps(UNIFORM, levels) is None
    with pytest.raises(ValueError, match=r"^kind: the noise levels .* are not known\.$"):
        timesteps(LOG_SNR, levels)


@pytest.mark.parametrize("name", ["ddim", "pndm"])
def test_schedulers_that_cannot_take_time_steps_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"^scheduler/name: '{name}' is not supported"):
        make_scheduler({"name": name}, STABLE_DIFFUSION, UNIFORM)


def test_clipping_is_refused_and_never_inherited():
    with pytest.raises(ValueError, match=r"^scheduler/clip_sample: would clip latents"):
        make_scheduler({"name": "ddpm", "clip_sample": True}, STABLE_DIFFUSION, UNIFORM)
    with pytest.raises(ValueError, match=r"^scheduler/karras: the key is not known"):
        make_scheduler({"name": "euler", "karras": True}, STABLE_DIFFUSION, UNIFORM)
    assert not make_scheduler({"name": "ddpm"}, STABLE_DIFFUSION, UNIFORM).config.clip_sample


def flowing(sampling, spec):
    scheduler = make_scheduler(spec, FLOW, sampling)
    schedule(scheduler, sampling)
    return scheduler


@pytest.mark.parametrize("spec", [DPM, {"name": "euler"}])
def test_a_flow_keeps_the_models_shift_and_ends_without_noise(spec):
    scheduler = flowing(UNIFORM, spec)
    assert prediction_type(scheduler) == "flow"
    ratios = sigmas_of(scheduler)
    assert ratios[-1] == 0
    shares = 1 / (1 + 1 / ratios[:-1])
    times = scheduler.timesteps.double().numpy()  # the library gives dpmsolver++ whole ones
    whole = spec is DPM
    np.testing.assert_allclose(
        np.floor(1000 * shares) if whole else 1000 * shares, times, rtol=1e-5
    )
    # half way through the steps a shift of 3 leaves 3 parts of noise to 1 of signal
    assert shares[10] == pytest.approx(0.75, abs=0.03)


def test_a_flow_uses_exactly_the_time_steps_asked_for():
    sampling = {"kind": "custom", "timesteps": [999, 600, 200]}
    scheduler = flowing(sampling, {"name": "euler"})
    np.testing.assert_allclose(scheduler.timesteps, [999, 600, 200], rtol=1e-6)
    np.testing.assert_allclose(sigmas_of(scheduler)[:-1], [999, 1.5, 0.25], rtol=1e-4)
    arguments = call_arguments(scheduler, sampling, "sigmas")
    assert arguments == {"num_inference_steps": 3, "sigmas": [0.999, 0.6, 0.2]}


def test_what_a_flow_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"^scheduler/name: ddpm is no solver for a model of flow"):
        make_scheduler({"name": "ddpm"}, FLOW, UNIFORM)
    shifting = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    with pytest.raises(ValueError, match="use_dynamic_shifting"):
        make_scheduler({"name": "euler"}, shifting, UNIFORM)
    early = {"kind": "early", "steps": 20, "gamma": 60}
    with pytest.raises(ValueError, match=r"^samplings: early names time steps, .* euler alone\.$"):
        make_scheduler(DPM, FLOW, early)


def test_pure_noise_has_a_finite_log_snr_and_no_signal():
    assert np.isfinite(log_snr_of(np.inf))
    assert levels(log_snr_of(np.inf), "flow") == (0.0, 1.0)
    assert levels(np.inf, "flow") == (1.0, 0.0)
    alpha, sigma = levels(log_snr_of(1.5), "flow")
    assert (alpha, sigma) == pytest.approx((0.4, 0.6))
    own = DDIMScheduler(**BETAS, rescale_betas_zero_snr=True)
    zero_snr = make_scheduler(DPM, own, UNIFORM)
    schedule(zero_snr, {"kind": "custom", "timesteps": [999, 10]})
    assert log_snr_of(sigmas_of(zero_snr)[0]) == pytest.approx(PURE_NOISE, rel=1e-5)
