"""The totals of targets, from planned jobs and what they cost."""

import json

import pytest

from stepscope.estimate import table, trace_size
from stepscope.estimate.cost import BARE, FIGURE, OWN_FILES, Needs, cost
from stepscope.estimate.dry_runs import Planned
from support.costs import CONFIG, HERE, IMPORTING, MODEL, PROMPTS

GENERATE = Planned("generate", HERE, (), ("trace",), {"gpu": 1})
RISE = HERE | {"method": "df_rise"}
EXPLAIN = Planned("explain", RISE, ("trace",), ("maps",), {"gpu": 1})
PLAY = Planned("play_games", RISE, ("trace", "maps"), ("part",), {"gpu": 1})
DECODE = Planned("decode", HERE, ("trace",), ("previews",), {"gpu": 1})
PROBE = Planned("probe", HERE, ("previews",), ("concepts",), {"gpu": 1})
MERGE = Planned("merge_table", {"table": "rq1_auc"}, ("part",), ("rq1_auc",))
PLOT = Planned("plot_rq1_auc", {}, ("rq1_auc",), ("pdf", "png"))
START = IMPORTING + MODEL["loading"]
# what each takes: counts of test_cost, times the seconds of a fake probe
SECONDS = {
    "generate": START + 4 * 20 * MODEL["tracing"],
    "explain": START + 2 * 3 * 501 * MODEL["methods"]["df_rise"],
    "play_games": START + 2 * ((4 + 3 * 15 * 2) + 2 * (3 + 2 * 15 * 2)) * MODEL["playing"],
    "decode": START + 4 * 61 * MODEL["decoding"],
    "probe": START + 4 * 60 * MODEL["judging"],
    "merge_table": BARE,
    "plot_rq1_auc": FIGURE,
    "rq1": 0,
    "rq3": 0,
}
RQ1 = [GENERATE, EXPLAIN, PLAY, MERGE, PLOT, Planned("rq1", {}, ("pdf", "png"))]
RQ3 = [GENERATE, DECODE, PROBE, Planned("rq3", {}, ("concepts",))]


def totals(plan, **limits):
    costs = [cost(job, CONFIG, PROMPTS, {"m": MODEL}, IMPORTING) for job in plan]
    assert [needs.seconds for needs in costs] == pytest.approx([SECONDS[job.rule] for job in plan])
    return table.total(plan, costs, limits)


@pytest.mark.parametrize(
    ("plan", "calls", "pictures"),
    [(RQ1, 80 + 3006 + 440, 440), (RQ3, 80, 244)],
)
def test_a_target_adds_up_its_jobs(plan, calls, pictures):
    every = sum(SECONDS[job.rule] for job in plan)
    found = totals(plan, _cores=1)
    assert found[:5] == pytest.approx((len(plan), calls, pictures, every / 3600, every / 3600))
    assert found[-1] > OWN_FILES * (len(plan) - 1)


@pytest.mark.parametrize(
    ("together", "most"), [(8, 8), ("auto", 8), (4000, 2000)], ids=["number", "auto", "all"]
)
def test_a_large_batch_takes_the_memory_of_a_forward_batch(together, most):
    rows = [{"prompt": "a red cat", "seeds": [0], "batch": "0", "roles": {}}] * 2000
    model = MODEL | {
        "geometry": trace_size.stable_diffusion_1(), "weights": 2_100_000_000, "sample": 5e8,
    }  # fmt: skip
    config = CONFIG | {"storage": CONFIG["storage"] | {"forward_batch": together}}
    costs = [[cost(GENERATE, config, {"scenes": rows}, {"m": model}, IMPORTING)]]
    (line,) = table.largest([[GENERATE]], costs, config, {"scenes": rows}, {"m": model})
    assert "2,000 samples" in line
    assert f"{(2.1 + 0.5 * most):.2g} GB of memory ({most} together" in line
    assert f"{costs[0][0].size / 1e9:.3g} GB when its store is complete" in line
    assert costs[0][0].size == 9_703_424_000  # of 20 steps in half precision
    assert table.largest([[DECODE]], [[Needs()]], config, {}, {}) == []


def test_a_target_that_is_done_costs_nothing():
    assert table.total([], [], {"_cores": 2}) == (0,) * 7


@pytest.mark.parametrize(
    ("limits", "lasting"),
    [
        ({"_cores": 1}, 8),  # one after the other
        ({"_cores": 2}, 4),
        ({"_cores": 8}, 2),  # the longest chain
        ({"_cores": 8, "gpu": 1}, 6),  # all but the two that use no card
        ({"_nodes": 4}, 2),
    ],
)
def test_hours_side_by_side_are_those_that_resources_and_order_allow(limits, lasting):
    jobs = [Planned("a", {}, ("b1",), (f"a{n}",), {"gpu": int(n > 1)}) for n in range(7)]
    jobs.append(Planned("b", {}, (), ("b1",), {"gpu": 1}))
    found = table.total(jobs, [Needs(seconds=3600.0)] * 8, limits)
    assert found[3:5] == pytest.approx((8, lasting))


def test_seconds_of_jobs_are_kept_beside_those_of_an_earlier_estimate(tmp_path):
    path = tmp_path / "results" / "mine" / ".estimate.json"
    table.keep(str(path), {"a": 1.0, "b": 2.0})
    table.keep(str(path), {"b": 3.0})  # of what was still to do
    assert json.loads(path.read_text()) == {"a": 1.0, "b": 3.0}
    path.write_text("{torn")
    table.keep(str(path), {"b": 3.0})
    assert json.loads(path.read_text()) == {"b": 3.0}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
