"""What a model costs: measured where it is at hand, each kind of call as its jobs make it."""

import json
import math

import pytest
from huggingface_hub import constants

from stepscope.estimate import measure, timings
from stepscope.methods.method import method
from support import tiny, tiny_judges
from support.costs import CONFIG, GEOMETRY, PROMPTS

CALLS: dict[str, list[int]] = {}  # how many steps each call of a method below had


def noted(name, **options):
    """A method that notes its calls, and states 3 guided calls a word."""

    def explained(denoiser, steps):
        CALLS.setdefault(name, []).append(len(steps) if options.get("together") else 1)
        return [None] * len(steps) if options.get("together") else None

    about = dict.fromkeys(("target", "features", "held_fixed"), "")
    return method(calls=lambda words, p: 3 * words, **about, **options)(explained)


several, single = noted("several", together=True), noted("single")
reading = noted("reading", replays=False)
ENTRIES = {name: {"function": f"{__name__}:{name}"} for name in ("several", "single", "reading")}
ENTRIES |= {"own": {"function": "support.costs:plain"}}


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge") / "clip"
    tiny_judges.tiny_clip(folder)
    return timings.measure_judge({"folder": str(folder)}, 64)


def test_a_model_that_is_not_at_hand_has_shipped_figures_labelled_so(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    spec = {"repo": "acme/large", "revision": "0" * 40, "dtype": "float16"}
    measured = measure.measure(spec, CONFIG, PROMPTS, lambda: (None, 0.25))
    shipped = json.loads(measure.SHIPPED.read_text())
    assert measured["label"].startswith("shipped, not measured: Stable Diffusion 1 at 512 px")
    assert "CPU" in measured["label"]
    assert measured["tracing"] == 1 / shipped["rate"]
    assert measured["decoding"] == 1 / shipped["decoding"]
    assert measured["playing"] == 1 / shipped["rate"] + 1 / shipped["decoding"] + 0.25
    assert measured["geometry"].latent == (4, 64, 64)
    assert measured["weights"] == 2 * shipped["parameters"]
    assert measured["sample"] == shipped["sample"] / 2


def test_a_model_at_hand_is_measured_in_the_batches_of_its_jobs(tmp_path, judge, monkeypatch):
    tiny.tiny_sd1(tmp_path)
    monkeypatch.setattr(measure, "STEPS", measure.FIRST)  # as many calls as the first
    monkeypatch.setattr(timings, "LONGEST", math.inf)  # tried on a slow machine too
    # what else the machine does is not in CPU time
    monkeypatch.setattr(timings.time, "perf_counter", timings.time.process_time)
    batches: dict[str, set[int]] = {"network": set(), "pictures": set(), "played": set()}

    def noting(module, name, what, count):
        own = getattr(module, name)

        def noted(*args, **keywords):
            batches[what].add(count(*args))
            return own(*args, **keywords)

        monkeypatch.setattr(module, name, noted)

    noting(timings, "trace_prompts", "network", lambda pipeline, prompts, seeds: len(prompts))
    noting(timings.autoencoder, "decode", "pictures", lambda pipeline, latents: len(latents))
    noting(timings.playing, "results", "played", lambda denoiser, states, *rest: len(states))
    entries = ENTRIES | {"several": ENTRIES["several"] | {"forward_batch": 5}}
    config = CONFIG | {"explain": entries, "storage": CONFIG["storage"] | {"forward_batch": 3}}
    spec = {"folder": str(tmp_path), "dtype": "float32"}
    measured = measure.measure(spec, config, PROMPTS, lambda: judge)
    # at their own sizes: traced, decoded with the trace and in the decode job, played
    assert batches == {"network": {3}, "pictures": {3, 20, 6}, "played": {6}}
    assert set(CALLS["several"]) == {5}
    assert set(CALLS["single"]) == {1}
    assert measured["methods"].keys() == {"several", "single"}  # the others replay or say nothing
    assert "reading" not in CALLS
    assert measured["label"] == "measured on cpu"
    assert measured["geometry"] == GEOMETRY
    assert all(0 < measured[name] < 1 for name in ("tracing", "decoding", "judging", "playing"))
    assert measured["playing"] > measured["judging"]


def test_seconds_are_those_of_each_call_that_a_method_states(monkeypatch):
    monkeypatch.setattr(timings, "timed", lambda run: (0.6, run()))
    runs = []
    assert timings.refined(0.01, 12, lambda: runs.append(0)) == pytest.approx(0.6 / 12)
    assert len(runs) == 2  # the first prepares
    monkeypatch.setattr(timings, "timed", lambda run: (3.0, run()))
    assert timings.refined(0.01, 12, lambda: runs.append(0)) == pytest.approx(3 / 12)
    assert len(runs) == 3
    # what takes long is not tried, and what calls nothing has no seconds
    assert timings.refined(1.0, 12, lambda: runs.append(0)) == 1.0
    assert timings.refined(0.01, 0, lambda: runs.append(0)) == 0.01
    assert len(runs) == 3


def test_an_automatic_batch_is_taken_for_the_default():
    assert [timings.size_of(size) for size in ("auto", 8, 3)] == [8, 8, 3]
