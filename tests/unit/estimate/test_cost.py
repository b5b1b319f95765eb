"""The estimate's arithmetic, without running anything."""

import json
import re

import pytest
from huggingface_hub import constants

from stepscope.estimate import cost, trace_size
from stepscope.estimate.measure import SHIPPED, measure
from support import tiny

CONFIG = {
    "scheduler": {"name": "dpmsolver++", "order": 2},
    "storage": {"forward_batch": 8, "derived": "float16"},
    "guidance": 4.0,
    "negative_prompt": "",
    "height": None,
    "width": None,
    "datasets": {"scenes": {"trace": "generate"}},
    "samplings": {"uniform": {"kind": "uniform", "steps": 20}},
    "explain": {
        "df_rise": {
            "function": "stepscope.methods.df_rise:df_rise",
            "samplings": ["uniform"],
            "steps": [2, 8, 15],
            "samples": 2,
            "masks": 500,
            "variants": ["paper"],
        }
    },
    "games": {"samplings": None, "steps": [2, 8], "samples": 3, "moves": None},
    "probe": {"size": 64},
}
PROMPTS = {
    "scenes": [
        {"prompt": "a red cat", "seeds": [0, 1], "batch": "0"},
        {"prompt": "a dog", "seeds": [0, 1], "batch": "0"},
        {"prompt": "a dog", "seeds": [0], "batch": "1"},
    ]
}
HERE = {"model": "m", "dataset": "scenes", "sampling": "uniform", "batch": "0"}
GEOMETRY = trace_size.Geometry((4, 16, 16), 4, ((16, 16), (8, 8)), 2 * 24 * 32, 1)
MODEL = {"rate": 100.0, "decoding": 50.0, "geometry": GEOMETRY, "dtype": "float16"}


def work(**wildcards):
    return cost.Work(CONFIG, PROMPTS, HERE | wildcards, MODEL)


def test_calls_of_each_kind_of_job():
    assert work().needs("generate").calls == 4 * 20
    assert work(method="df_rise").needs("explain").calls == 2 * 3 * 501
    # DF-RISE and its variant, and the two baselines
    for method in ("df_rise", "baselines"):
        assert work(method=method).needs("play_games").calls == 3 * 2 * (3 + 2 * 15 * 2)
        assert work(method=method, batch="1").needs("play_games").calls == 1 * 2 * (3 + 2 * 15 * 2)
    few = CONFIG | {"games": CONFIG["games"] | {"moves": 8}}
    played = cost.Work(few, PROMPTS, HERE | {"method": "df_rise"}, MODEL).needs("play_games")
    assert played.calls == 3 * 2 * (3 + 2 * 7 * 2)
    inverted = CONFIG | {"datasets": {"scenes": {"trace": "invert"}}}
    assert cost.Work(inverted, PROMPTS, HERE, MODEL).needs("generate").calls == 4 * (20 * 6 + 2)
    assert work().needs("decode").calls == 0


def test_pictures_of_each_kind_of_job():
    assert work().needs("decode").pictures == 4 * (3 * 20 + 1)
    job = work(method="df_rise")
    assert job.needs("play_games").pictures == job.needs("play_games").calls > 0
    assert job.needs("explain").pictures == work().needs("generate").pictures == 0


def test_total_adds_start_up_and_calls():
    plan = [("generate", HERE), ("merge_table", {"table": "rq1_auc"})]
    seconds = {}
    jobs, calls, pictures, hours, gigabytes, files = cost.total(
        plan, CONFIG, PROMPTS, {"m": MODEL}, seconds
    )
    assert (jobs, calls, pictures) == (2, 80, 0)
    assert hours * 3600 == pytest.approx(cost.LOADED + cost.BARE + 80 / 100)
    # each: 21 latents, 2 x 20 outputs, 20 of history; 20 clean predictions; "a red cat" and 3 more
    traced = 2 * (1024 * (21 + 40 + 20) + 2 * 24 * 32) + 2 * 20 * (1024 + 6 * (256 + 64))
    assert gigabytes == pytest.approx(4 * traced / 1e9)
    assert files > 2
    assert seconds == {
        "generate batch=0 dataset=scenes model=m sampling=uniform": cost.LOADED + 80 / 100,
        "merge_table table=rq1_auc": cost.BARE,
    }
    plan = [("decode", HERE)]
    _, calls, pictures, hours, *_ = cost.total(plan, CONFIG, PROMPTS, {"m": MODEL}, seconds)
    assert (calls, pictures) == (0, 4 * 61)
    assert hours * 3600 == pytest.approx(cost.LOADED + 4 * 61 / 50)


def test_seconds_of_jobs_are_kept_beside_those_of_an_earlier_estimate(tmp_path):
    path = tmp_path / "results" / "mine" / ".estimate.json"
    cost.keep(str(path), {"a": 1.0, "b": 2.0})
    cost.keep(str(path), {"b": 3.0})  # of what was still to do
    assert json.loads(path.read_text()) == {"a": 1.0, "b": 3.0}
    path.write_text("{torn")
    cost.keep(str(path), {"b": 3.0})
    assert json.loads(path.read_text()) == {"b": 3.0}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_dry_run_is_read():
    printed = (
        "rule generate:\n    output: a.zarr\n    wildcards: model=m, dataset=d\n\n"
        "localrule all:\n    input: a\n    jobid: 0\n"
    )
    jobs = [(rule, cost._wildcards(block)) for rule, block in cost.JOB.findall(printed)]
    assert jobs == [("generate", {"model": "m", "dataset": "d"}), ("all", {})]
    assert re.match(cost.JOB, printed)


def test_a_model_that_is_not_at_hand_has_shipped_figures_labelled_so(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    spec = {"repo": "acme/large", "revision": "0" * 40, "dtype": "float16"}
    measured = measure(spec, CONFIG)
    shipped = json.loads(SHIPPED.read_text())
    assert measured["label"].startswith("shipped, not measured: Stable Diffusion 1 at 512 px")
    assert "CPU" in measured["label"]
    assert measured["rate"] == shipped["rate"]
    assert measured["decoding"] == shipped["decoding"]
    assert measured["geometry"].latent == (4, 64, 64)
    assert measured["weights"] == 2 * shipped["parameters"]
    assert measured["sample"] == shipped["sample"] / 2


def test_a_model_at_hand_is_measured(tmp_path):
    tiny.tiny_sd1(tmp_path)
    spec = {"folder": str(tmp_path), "dtype": "float32"}
    measured = measure(spec, CONFIG | {"storage": CONFIG["storage"] | {"forward_batch": "auto"}})
    assert measured["label"] == "measured: 16 traced calls on cpu"
    assert measured["geometry"] == GEOMETRY
    assert measured["rate"] > 1
    assert measured["decoding"] > 1
