"""What a study may ask of its methods, read from their source."""

import pytest

from stepscope.study.method_checks import check_guidance, check_methods
from support.package import source


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"masks": "many"}, "masks: 'many' is not of type int."),
        ({"masks": True}, "masks: True is not of type int."),
        ({"masks": 20.5}, "masks: 20.5 is not of type int."),
        ({"keep": "half"}, "keep: 'half' is not of type float."),
        ({"similarity": 1}, "similarity: 1 is not of type str."),
        ({"variants": "paper"}, "variants: 'paper' is not of type Sequence[str]."),
        ({"variants": ["paper", 1]}, "variants: ['paper', 1] is not of type Sequence[str]."),
    ],
)
def test_values_of_a_methods_parameters_have_their_types(parameters, message):
    entry = {"function": "stepscope.methods.df_rise:df_rise", "samplings": None, "steps": [1]}
    fits = {"masks": 20, "keep": 1, "variants": ["paper"]}
    check_methods({"df_rise": entry | fits}, source, "mine.yaml")
    with pytest.raises(ValueError, match="mine.yaml: explain/df_rise/") as caught:
        check_methods({"df_rise": entry | parameters}, source, "mine.yaml")
    assert str(caught.value) == f"mine.yaml: explain/df_rise/{message}"


def test_parameter_that_a_method_does_not_take():
    text = "def df_rise(denoiser, step, masks=500, *, seed=0): ..."
    explain = {"df_rise": {"function": "stepscope.methods.df_rise:df_rise", "mask": 3}}
    with pytest.raises(ValueError, match="explain/df_rise/mask: .*did you mean masks"):
        check_methods(explain, lambda name: text, "c.yaml")
    explain = {"df_rise": {"function": "stepscope.methods.df_rise:df_ris"}}
    with pytest.raises(ValueError, match="stepscope.methods.df_rise has no function 'df_ris'"):
        check_methods(explain, lambda name: text, "c.yaml")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"function": "stepscope.methods.df_cam:df_cam"},
            "there is one; leave it out, or set its target",
        ),
        ({"function": "stepscope.methods.df_cam:df_cam", "target": "norm"}, ""),
        ({"function": "stepscope.methods.relevance:relevance"}, "there is one; leave it out.$"),
        ({"function": "stepscope.methods.cross_attention:cross_attention"}, ""),
        ({"function": "own:map"}, ""),
    ],
)
def test_methods_that_compare_halves_need_two(entry, message):
    if not message:
        check_guidance({"m": entry}, source, "c.yaml", "there is one")
        return
    with pytest.raises(ValueError, match=f"^c.yaml: explain/m: .*{message}"):
        check_guidance({"m": entry}, source, "c.yaml", "there is one")
