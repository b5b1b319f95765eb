"""Composed scenes as a dataset: what is drawn, and where pictures and exact masks are."""

import pytest

from stepscope.embedded import draws
from stepscope.embedded.vocabulary import held_out
from stepscope.language import words
from stepscope.study.datasets import published
from stepscope.study.plan import Plan
from stepscope.study.region_checks import check_regions

FIRST = (
    "a moon next to a heart on a pink background with a white frame, a golden ring and a bar seal"
)


def records(**changes):
    entry = {"scenes": 6, "seed": 1, "trace": "noise", **changes}
    found = published.read_all({"d": entry}, "results/mine/.datasets", "1")["d"]
    return {record["prompt_id"]: record for record in found}


def test_scenes_are_drawn_by_seed_and_number_alone():
    few, many = records(), records(scenes=9, batches=3)
    assert [few[name] | {"batch": ""} for name in few] == [
        many[name] | {"batch": ""} for name in few
    ]
    assert few["scene-1-1"]["prompt"] == FIRST  # on every machine
    assert {record["prompt"] for record in few.values()}.isdisjoint(
        record["prompt"] for record in records(seed=2).values()
    )
    assert len({seed for record in many.values() for seed in record["seeds"]}) == 9


def test_scenes_are_of_what_training_never_shows_and_named_as_it_names():
    scenes = list(draws.drawn(300, 0))
    assert all(held_out(scene.spec) for scene in scenes)
    assert {len(scene.spec.objects) for scene in scenes} == {1, 2}
    for scene in scenes:
        spoken = " ".join(scene.roles.values()).split()
        assert set(spoken) <= set(words(scene.caption))
    assert 0.4 < sum("frame" in scene.caption for scene in scenes) / 300 < 0.6


@pytest.mark.parametrize("kind", ["segmenter", "text_segmenter", "masks"])
@pytest.mark.parametrize(
    ("trace", "exact"), [("noise", True), ("invert", True), ("generate", False)]
)
def test_masks_are_exact_where_pictures_are_as_composed_whatever_ground_says(kind, trace, exact):
    found = records(trace=trace)
    config = {
        "ground": {"kind": kind, "folder": "none"},
        "datasets": {"d": {"scenes": 6, "trace": trace}},
    }
    plan = Plan(config, {"d": [*found.values()]})
    assert plan.is_exact("d") is exact
    places = {name: f"results/mine/scenes/d/{name}" for name in found} if exact else {}
    assert plan.true_masks("d", "0") == places
    for name, record in found.items():
        assert record["image"] == (f"{places[name]}.png" if exact else "")
    check_regions(config["ground"], {}, lambda folder: None, "study.yaml")  # nothing is sought
