"""What a study may ask of its methods, read from their source."""

import pytest
import yaml

from stepscope.study.method_checks import check_guidance, check_methods
from support.package import source
from support.workflow import block

RISE = {"function": "stepscope.methods.df_rise:df_rise", "samplings": None, "steps": [1]}
CAM = {"function": "stepscope.methods.df_cam:df_cam"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"masks": "many"}, "masks: 'many' is not of type 'integer'."),
        ({"masks": True}, "masks: True is not of type 'integer'."),
        ({"masks": 20.0}, "masks: 20.0 is not of type 'integer'; write 20."),
        ({"masks": 1}, "masks: 1 is less than the minimum of 2."),
        ({"keep": "half"}, "keep: 'half' is not of type 'number'."),
        ({"keep": float("nan")}, "keep: nan is not a finite number."),
        ({"keep": 0}, "keep: 0 is less than or equal to the minimum of 0."),
        ({"design": "paired"}, "keep: 0.25 does not go with design: paired; set keep to 0.5, or"),
        ({"design": "orthogonal"}, "keep: 0.25 does not go with design: orthogonal; set keep to"),
        ({"design": "pairs"}, "design: 'pairs' is not of type Design | None"),
        ({"error": 0}, "error: 0 is less than or equal to the minimum of 0."),
        ({"error": "small"}, "error: 'small' is not of type float | None."),
        ({"keep": 1}, "keep: 1 is greater than or equal to the maximum of 1."),
        (
            {"quantity": "promt"},
            "quantity: 'promt' is not one of ['noise', 'clean', 'next', 'promp",
        ),
        ({"variants": "paper"}, "variants: 'paper' is not of type 'array'."),
        ({"variants": ["official", "papr"]}, "variants/1: 'papr' is not one of ['paper', 'offici"),
        ({"variants": ["paper", "paper"]}, "variants: ['paper', 'paper'] has non-unique elements."),
    ],
)
def test_values_of_a_methods_parameters_are_what_it_takes(parameters, message):
    fits = {"masks": 20, "keep": 0.25, "variants": ["paper", "cosine"]}
    others = ({"design": "paired"}, {"design": "orthogonal", "keep": 0.5}, {"error": 0.02})
    for fitting in (fits, fits | {"design": "independent"}, *others):
        check_methods({"df_rise": RISE | fitting}, source, "mine.yaml")
    with pytest.raises(ValueError, match="^mine.yaml: explain/df_rise/") as caught:
        check_methods({"df_rise": RISE | fits | parameters}, source, "mine.yaml")
    assert str(caught.value).startswith(f"mine.yaml: explain/df_rise/{message}")


OWN = """
from typing import Annotated, Literal
from elsewhere import *
import numpy as np
Mode = Literal["a", "b"]
try:
    import fast as engine
except ImportError:
    def engine(denoiser, step): ...

@method(calls=None, target="", features="", held_fixed="")
def mine(denoiser, step, *, power: Annotated[float, {"minimum": 0}] = 2.0, mode: Mode = "a",
         size: int | None = None, names: list[str] = (), array: np.ndarray = None, free=None): ...
def needs(denoiser, step, power): ...
def open_ended(denoiser, step, **others): ...
def short(step): ...
@cached
def unknown(*arguments): ...
class Callable: ...
"""


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"function": "own:mine", "power": 1, "mode": "b", "size": None, "names": ["x"]}, ""),
        ({"function": "own:mine", "array": 3, "free": [1, "x"], "size": 3}, ""),
        ({"function": "own:engine"}, ""),
        ({"function": "own:open_ended", "anything": 1}, ""),
        ({"function": "own:unknown", "anything": 1}, ""),
        ({"function": "own:Callable", "anything": 1}, ""),
        ({"function": "own:mine", "power": -1}, "/power: -1 is less than the minimum of 0."),
        ({"function": "own:mine", "mode": "c"}, "/mode: 'c' is not one of ['a', 'b']."),
        ({"function": "own:mine", "size": 2.5}, "/size: 2.5 is not of type int | None."),
        ({"function": "own:mine", "names": [1]}, "/names/0: 1 is not of type 'string'; write it"),
        ({"function": "own:mine", "powr": 1}, "/powr: mine has no such key, did you mean power."),
        ({"function": "own:needs"}, ": needs needs the key power."),
        ({"function": "own:short"}, "/function: short takes 1 arguments by position, and a meth"),
        ({"function": "closed:min"}, "/function: closed.py has no 'min', did you mean mine."),
        ({"function": "torn:mine"}, "/function: torn.py, line 1: '(' was never closed."),
        ({"function": "code:mine"}, "/function: code.py has the name of a module of Python's own"),
        ({"function": "nowhere:mine"}, "/function: there is no module nowhere, neither below"),
        ({"function": "yaml.nowhere:mine"}, "/function: there is no module yaml.nowhere, neither"),
        ({"function": "yaml.nodes:Nod"}, "yaml/nodes.py has no 'Nod', did you mean Node."),
        ({"function": "yaml.nodes:Node"}, ""),
        ({"function": "math:sqrt"}, ""),
    ],
)
def test_a_users_module_is_read_without_importing_it(entry, message):
    texts = {
        "own.py": OWN,
        "closed.py": "def mine(denoiser, step): ...",
        "torn.py": "mine = (",
        "code.py": "def mine(denoiser, step): ...",
    }
    if not message:
        check_methods({"m": entry}, texts.get, "c.yaml")
        return
    with pytest.raises(ValueError, match="^c.yaml: explain/m") as caught:
        check_methods({"m": entry}, texts.get, "c.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_methods_of_the_documents_pass():
    own = {"my_methods.py": block("python", "my_methods.py")}
    explain = yaml.safe_load(block("yaml", "explain"))
    check_methods(explain, lambda path: own.get(path, source(path)), "c.yaml")
    with pytest.raises(ValueError, match="gradient/power: 'x' is not of type 'number'"):
        check_methods({"gradient": explain["gradient"] | {"power": "x"}}, own.get, "c.yaml")


@pytest.mark.parametrize(
    ("explain", "message"),
    [
        ({"random": CAM}, "explain/random: the name random also stands for the baselines"),
        ({"centre": CAM}, "explain/centre: the name centre also stands for the baselines"),
        ({"edge": CAM}, "explain/edge: the name edge also stands for the baselines"),
        ({"baselines": CAM}, "explain/baselines: the name baselines also stands for the base"),
        ({"step": CAM}, "explain/step: the name step also stands for an axis of the stores"),
        (
            {"df_rise": RISE | {"variants": ["paper"]}, "df_rise_paper": CAM},
            "explain/df_rise_paper: the name df_rise_paper also stands for maps of explain/df",
        ),
        (
            {"df_rise_mse": CAM, "df_rise": RISE | {"variants": ["mse"]}},
            "explain/df_rise: the name df_rise_mse also stands for maps of explain/df_rise_mse;",
        ),
        ({"a": CAM, "a_se": CAM}, "explain/a_se: the name a_se also stands for maps of explain/a;"),
        (
            {"m": {"function": "own:map", "variants": ["se"]}},
            "explain/m: the name m_se also stands for maps of explain/m;",
        ),
        ({"df_rise": RISE | {"variants": ["paper"]}, "df_rise_2": RISE, "df_cam": CAM}, ""),
    ],
)
def test_no_two_maps_have_one_name(explain, message):
    if not message:
        check_methods(explain, source, "c.yaml")
        return
    with pytest.raises(ValueError, match=f"^c.yaml: {message}"):
        check_methods(explain, source, "c.yaml")


def test_parameter_that_a_method_does_not_take():
    text = "def df_rise(denoiser, step, masks=500, *, seed=0): ..."
    explain = {"df_rise": {"function": "stepscope.methods.df_rise:df_rise", "mask": 3}}
    with pytest.raises(ValueError, match="explain/df_rise/mask: .*did you mean masks"):
        check_methods(explain, lambda name: text, "c.yaml")
    explain = {"df_rise": {"function": "stepscope.methods.df_rise:df_ris"}}
    with pytest.raises(ValueError, match="df_rise.py has no 'df_ris', did you mean df_rise"):
        check_methods(explain, lambda name: text, "c.yaml")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"function": "stepscope.methods.df_cam:df_cam"},
            "one; leave it out, or set its target to something else than prompt, region, raw_sum.$",
        ),
        ({"function": "stepscope.methods.df_cam:df_cam", "target": "norm"}, ""),
        (
            {"function": "stepscope.methods.df_rise:df_rise", "quantity": "prompt"},
            "one; leave it out, or set its quantity to something else than prompt.$",
        ),
        ({"function": "stepscope.methods.df_rise:df_rise"}, ""),
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


def test_only_a_method_that_asks_a_denoiser_explains_the_null():
    null = {"denoiser": "gaussian_null"}
    check_methods({"df_rise_null": RISE | null}, source, "mine.yaml")
    stored = {"function": "stepscope.methods.cross_attention:cross_attention"} | null
    with pytest.raises(
        ValueError, match="^mine.yaml: explain/mine/denoiser: cross_attention reads"
    ):
        check_methods({"mine": stored}, source, "mine.yaml")
