"""What a plan says of small studies."""

import pytest

from stepscope.study.plan import Plan


def record(prompt_id: str, batch: str, **changes) -> dict:
    return {
        "prompt_id": prompt_id,
        "prompt": f"a {prompt_id}",
        "seeds": [3, 4],
        "batch": batch,
        "roles": {},
        "image": f"{prompt_id}.png",
        "masks": "",
        **changes,
    }


def entry(**changes) -> dict:
    """A method's entry as the schema completes it."""
    return {"function": "own:map", "samplings": None, "steps": None, "samples": None, **changes}


PROMPTS = {
    "drawn": [record("cat", "0"), record("dog", "1"), record("cow", "0")],
    "given": [record("fox", "2")],
}
UNIFORM, EARLY = {"kind": "uniform", "steps": 4}, {"kind": "early", "steps": 2, "gamma": 3}
CONFIG = {
    "models": {"m": {}},
    "samplings": {"uniform": UNIFORM, "early": EARLY},
    "datasets": {"drawn": {"trace": "generate"}, "given": {"trace": "invert"}},
    "explain": {
        "everywhere": entry(),
        "early_only": entry(samplings=["early"], steps=[2], masks=20),
    },
    "games": {"samplings": None, "steps": [1]},
    "ground": {"kind": "masks"},
    "scheduler": {"name": "euler"},
    "guidance": 4.0,
    "negative_prompt": "",
    "height": None,
    "width": None,
    "storage": {"forward_batch": 8},
    "statistics": {"seed": 0},
}


def plan(prompts=PROMPTS, **changes) -> Plan:
    return Plan(CONFIG | changes, prompts)


def unit(dataset: str, sampling: str, batch: str, **more: str) -> dict:
    return {"model": "m", "dataset": dataset, "sampling": sampling, "batch": batch, **more}


def test_batches_of_one_dataset_and_of_all():
    assert plan().batches("drawn") == ["0", "1"]
    assert plan().batches("given") == ["2"]
    assert plan().batches() == ["0", "1", "2"]


def test_a_batch_that_two_datasets_have_is_named_once():
    shared = {"a": [record("cat", "0")], "b": [record("dog", "0")]}
    assert plan(shared).batches() == ["0"]


def test_units_are_of_all_samplings_or_of_some():
    assert list(plan().units(["early"])) == [
        unit("drawn", "early", "0"),
        unit("drawn", "early", "1"),
        unit("given", "early", "2"),
    ]
    assert [made["sampling"] for made in plan(models={"m": {}, "n": {}}).units()] == [
        *["uniform"] * 2,
        *["early"] * 2,
        *["uniform"] * 2,
        *["early"] * 2,
        *["uniform", "early"],
        *["uniform", "early"],
    ]


def test_methods_that_explain_a_sampling():
    assert plan().used_on("uniform") == ["everywhere"]
    assert plan().used_on("early") == ["everywhere", "early_only"]


@pytest.mark.parametrize(
    ("explained", "played", "expected"),
    [
        (None, None, True),
        (None, [1], True),
        ([2], None, True),
        ([1, 2], [2, 3], True),
        ([2], [1], False),
        # which steps leave a share is not known before there are traces
        ({"left": [0.5]}, {"left": [0.1]}, True),
        ([2], {"left": [0.1]}, True),
        ({"left": [0.5]}, [1], True),
    ],
)
def test_a_method_is_played_where_it_has_maps(explained, played, expected):
    small = plan(explain={"mine": entry(steps=explained)}, games={"steps": played})
    assert small.is_played("mine") is expected
    unplayed = plan(
        explain={"mine": entry(steps=explained) | {"games": False}}, games={"steps": played}
    )
    assert not unplayed.is_played("mine")
    assert "games" not in unplayed.method_entry("mine")  # its maps stay as they are


def test_games_are_of_the_baselines_and_of_the_methods_that_have_maps_there():
    small = plan({"drawn": [record("cat", "0")]}, games={"samplings": None, "steps": [2]})
    assert list(small.games("none")) == [
        unit("drawn", "uniform", "0", method="none"),
        unit("drawn", "uniform", "0", method="everywhere"),
        unit("drawn", "early", "0", method="none"),
        unit("drawn", "early", "0", method="everywhere"),
        unit("drawn", "early", "0", method="early_only"),
    ]
    elsewhere = plan({"drawn": [record("cat", "0")]}, games={"samplings": ["early"], "steps": [1]})
    assert [game["method"] for game in elsewhere.games("none")] == ["none", "everywhere"]


def test_controls_are_of_methods_on_the_samplings_that_they_explain():
    every = {"methods": ["early_only"], "samplings": None}
    small = plan(controls=every, convergence={"samplings": ["uniform"]})
    assert small.controlled_on("uniform") == []
    assert small.controlled_on("early") == ["early_only"]
    assert small.measured_on("rq1_controls") == ["early"]
    assert small.measured_on("rq1_convergence") == ["uniform"]
    assert small.measured_on("rq1_saliency") is None
    both = plan(controls={"methods": ["early_only", "everywhere"], "samplings": ["uniform"]})
    assert both.controlled_on("uniform") == ["everywhere"]
    assert both.controlled_on("early") == []


def test_a_methods_entry_is_without_its_samplings():
    assert plan().method_entry("early_only") == {
        "function": "own:map",
        "steps": [2],
        "samples": None,
        "masks": 20,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"score": "mean"}, False),
        ({"score": "region"}, True),
        ({"target": "region"}, True),
        ({"similarity": "region"}, False),
    ],
)
def test_masks_are_needed_by_methods_that_ask_for_the_region(changes, expected):
    assert plan(explain={"mine": entry(**changes)}).needs_masks("mine") is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"similarity": "features"}, True),
        ({"similarity": "structure", "variants": ["paper", "features"]}, True),
        ({"similarity": "structure", "variants": ["paper"]}, False),
        ({"variants": 3}, False),
        ({}, False),
    ],
)
def test_methods_that_compare_pictures_by_features_get_the_clip(changes, expected):
    assert plan(explain={"mine": entry(**changes)}).is_judged("mine") is expected


def test_generation_needs_the_picture_only_where_it_is_given():
    assert plan().prompts_in_batch("drawn", "0") == [
        {"prompt_id": "cat", "prompt": "a cat", "seeds": [3, 4], "roles": {}},
        {"prompt_id": "cow", "prompt": "a cow", "seeds": [3, 4], "roles": {}},
    ]
    assert plan().prompts_in_batch("given", "2") == [
        {
            "prompt_id": "fox",
            "prompt": "a fox",
            "seeds": [3, 4],
            "roles": {},
            "image": "fox.png",
        }
    ]


def test_traces_depend_on_the_settings_of_generation_alone():
    settings = {
        "scheduler": {"name": "euler"},
        "guidance": 4.0,
        "negative_prompt": "",
        "height": None,
        "width": None,
        "storage": {"forward_batch": 8},
    }
    assert plan().generation_of("drawn", "early") == {**settings, "sampling": EARLY}
    assert plan().generation_of("given", "uniform") == {
        **settings,
        "sampling": UNIFORM,
        "trace": "invert",
    }


def test_masks_of_the_prompts_that_have_them():
    boxes = {"image": "dog.png", "boxes": {"dog": [[0, 0, 2, 2]]}}
    prompts = {
        "drawn": [
            record("cat", "0", masks="folder"),
            record("dog", "0", masks=boxes),
            record("cow", "0"),
            record("fox", "1", masks="other"),
        ]
    }
    assert plan(prompts).true_masks("drawn", "0") == {"cat": "folder", "dog": boxes}
    assert plan(prompts, ground={"kind": "segmenter"}).true_masks("drawn", "0") == {}


def test_the_first_prompts_of_each_dataset_are_pictured_with_their_first_seed():
    def pictured(prompt_id, dataset, sampling, batch):
        shown = {"prompt_id": prompt_id, "prompt": f"a {prompt_id}", "seed": 3}
        return unit(dataset, sampling, batch) | shown

    assert plan().pictured(2, ["early", "uniform"]) == [
        pictured("cat", "drawn", "early", "0"),
        pictured("cat", "drawn", "uniform", "0"),
        pictured("dog", "drawn", "early", "1"),
        pictured("dog", "drawn", "uniform", "1"),
        pictured("fox", "given", "early", "2"),
        pictured("fox", "given", "uniform", "2"),
    ]


def test_the_preferred_method_is_one_that_the_study_has():
    assert plan().preferred("absent", "early_only", "everywhere") == "early_only"
    assert plan().preferred("absent") == "everywhere"


def test_the_first_sampling_of_a_method():
    assert plan().first_sampling("everywhere") == ["uniform"]
    assert plan().first_sampling("early_only") == ["early"]
