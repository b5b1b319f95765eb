"""The estimate's arithmetic, without running anything."""

import re

import pytest

from stepscope import estimate

CONFIG = {
    "samplings": {"uniform": {"kind": "uniform", "steps": 20}},
    "explain": {
        "df_rise": {
            "function": "stepscope.perturbation:df_rise",
            "samplings": ["uniform"],
            "steps": [2, 8, 15],
            "samples": 2,
            "masks": 500,
            "variants": ["paper"],
        }
    },
    "games": {"samplings": None, "steps": [2, 8], "samples": 3},
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
MEASURED = {"m": {"rate": 100.0, "latent": (4, 16, 16), "bytes": 1000.0, "label": "test"}}


def work(**wildcards):
    return estimate.Work(CONFIG, PROMPTS, HERE | wildcards, (4, 16, 16))


def test_calls_of_each_kind_of_job():
    assert work().calls("generate") == 4 * 20
    assert work(method="df_rise").calls("explain") == 2 * 3 * 501
    maps = 2 + 2  # random and centre, DF-RISE and its variant
    assert work().calls("play_games") == 3 * 2 * (3 + 2 * 15 * maps)
    assert work(batch="1").calls("play_games") == 1 * 2 * (3 + 2 * 15 * maps)
    assert work().calls("decode") == 0


def test_total_adds_start_up_and_calls():
    plan = [("generate", HERE), ("merge_table", {"table": "rq1_auc"})]
    jobs, calls, hours, gigabytes, files = estimate.total(plan, CONFIG, PROMPTS, MEASURED)
    assert (jobs, calls) == (2, 80)
    assert hours * 3600 == pytest.approx(sum(estimate.START_UP) + 80 / 100)
    assert gigabytes == pytest.approx(80 * 1000 / 1e9)
    assert files > 2


def test_dry_run_is_read():
    printed = (
        "rule generate:\n    output: a.zarr\n    wildcards: model=m, dataset=d\n\n"
        "localrule all:\n    input: a\n    jobid: 0\n"
    )
    found = [(rule, estimate._wildcards(block)) for rule, block in estimate.JOB.findall(printed)]
    assert found == [("generate", {"model": "m", "dataset": "d"}), ("all", {})]
    assert re.match(estimate.JOB, printed)
