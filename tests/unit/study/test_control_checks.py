"""Controls that could not be run are refused when the study is parsed, in one sentence."""

import pytest

from stepscope.study.control_checks import check_controls

PROMPTS = {"d": [{"batch": "0"}, {"batch": "0"}, {"batch": "1"}, {"batch": "1"}]}
ALL = {"samplings": None, "steps": None, "samples": None}
EXPLAIN = {"df_rise": ALL | {"samplings": ["uniform"], "steps": [2]}, "relevance": ALL}
EXPLAIN["chosen"] = ALL | {"learnt_from": "heads"}
EXPLAIN["null"] = ALL | {"denoiser": "gaussian_null"}
KINDS = ["weights", "cascade", "prompt", "latent"]


def study(**controls):
    """A study as its schema completes it."""
    entry = ALL | {"methods": ["df_rise"], "kinds": KINDS, "seed": 0} | controls
    return {"controls": entry, "explain": EXPLAIN, "samplings": {"uniform": {}, "early": {}}}


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (
            {"methods": ["df_ris"]},
            "controls/methods: there is no method 'df_ris' in explain, did you mean df_rise.",
        ),
        (
            {"methods": ["relevance", "chosen"]},
            "controls/methods: chosen learns from the maps of other prompts, which the controls do "
            "not make; leave it out.",
        ),
        (
            {"methods": ["null"]},
            "controls/methods: null explains the Gaussian null, which has neither weights nor a "
            "prompt; leave it out.",
        ),
        (
            {"samplings": ["early"]},
            "controls/samplings: explain/df_rise has none of early; take some of its samplings, or "
            "leave it out of the controls.",
        ),
        (
            {"steps": [1, 3]},
            "controls/steps: explain/df_rise has none of 1, 3; take some of its steps, or leave it "
            "out of the controls.",
        ),
        (
            {"samplings": ["uniform", "early"]},
            "controls/samplings: none of the methods of the controls explains early; leave it out.",
        ),
    ],
)
def test_controls_that_no_map_is_there_for(controls, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        check_controls(study(**controls), PROMPTS, "mine.yaml")
    assert str(refused.value) == f"mine.yaml: {message}"


@pytest.mark.parametrize("kind", ["prompt", "latent"])
def test_another_sample_needs_another_prompt_in_the_batch(kind):
    alone = {"d": [{"batch": "0"}, {"batch": "0"}, {"batch": "1"}]}
    with pytest.raises(ValueError, match=f"controls/kinds: {kind} takes .* batch 1 of the dataset"):
        check_controls(study(kinds=["weights", kind]), alone, "mine.yaml")
    check_controls(study(kinds=["weights", "cascade"]), alone, "mine.yaml")


@pytest.mark.parametrize(
    "controls",
    [
        {},
        {"methods": [], "samplings": ["early"], "steps": [9]},  # none are run
        {"methods": ["df_rise", "relevance"], "samplings": ["uniform", "early"], "steps": [1, 2]},
        {"steps": {"left": [0.1]}},  # which step that is is not known yet
        {"methods": ["relevance"], "samplings": ["early"], "steps": [1]},
    ],
)
def test_controls_that_can_be_run(controls):
    check_controls(study(**controls), PROMPTS, "mine.yaml")
