"""Whatever a method returns becomes maps on the trace's axes, or one sentence says why not."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from stepscope.methods import method as method_module
from stepscope.methods.batches import Explaining, results
from stepscope.methods.explain import Gathered, budget
from stepscope.methods.method import Layers, OfWords, method, parameters_of
from stepscope.methods.results import checked, told
from stepscope.models import memory
from stepscope.store.maps import flat
from stepscope.store.traces import chosen_steps
from support.workflow import ROOT

ONE = np.ones((2, 3))


@pytest.fixture
def tree():
    """What explaining reads of a trace: two prompts of two seeds, three steps, a 2 x 3 grid."""
    root = xr.Dataset(
        coords={
            "sample": np.arange(4),
            "step": [1, 2, 3],
            "prompt_id": ("sample", np.array(["a", "a", "b", "b"], dtype=object)),
            "seed": ("sample", [0, 1, 0, 1]),
        },
        attrs={"words": [[{}] * 2, [{}] * 2, [{}] * 3, [{}] * 3]},
    )
    latent = xr.Dataset(
        {"value": (("sample", "state", "channel", "y", "x"), np.zeros((4, 4, 1, 2, 3)))}
    )
    return xr.DataTree.from_dict({"/": root, "/latent": latent})


def nothing(denoiser, step, *, power: int = 2, keep: float = 0.5):
    """Do nothing."""


def test_samples_are_spread_over_prompts(tree):
    assert chosen_steps(tree, [2], 2) == [(0, 2), (2, 2)]
    assert chosen_steps(tree, None, 3) == [(s, k) for s in (0, 1, 2) for k in (1, 2, 3)]
    assert len(chosen_steps(tree, None, None)) == 12


def test_a_step_that_does_not_exist_is_named(tree):
    with pytest.raises(ValueError, match="steps: 9 is not among the trace's steps 1 to 3"):
        chosen_steps(tree, [1, 9], None)


def test_parameters_are_completed_with_the_functions_defaults(monkeypatch):
    monkeypatch.setattr(method_module, "resolve", lambda name: nothing)
    entry = {"function": "x:y", "steps": [1], "samples": 2, "samplings": None, "power": 3}
    assert parameters_of(entry)[1] == {"power": 3, "keep": 0.5}


def test_the_budget_is_counted_or_said_to_be_unknown(tree):
    described = method(
        calls=lambda words, p: words * p["n"], target="", features="", held_fixed=""
    )(lambda denoiser, step, n: None)
    pairs = chosen_steps(tree, [1, 2], None)
    assert "20 guided denoiser calls" in budget(tree, described, {"n": 1}, pairs)
    assert "does not state" in budget(tree, nothing, {}, pairs)


def tens(denoiser, step, *, power=1):
    """A user's method of one step, which here is a number."""
    return 10 * step.number**power


@method(calls=lambda words, p: 1, target="", features="", held_fixed="", together=True)
def twenties(denoiser, steps, *, power=1):
    """A user's method of several steps together."""
    CALLED.append([step.number for step in steps])
    return [20 * step.number**power for step in steps][: 5 - len(CALLED)]


CALLED: list[list[int]] = []


def numbered(*numbers):
    """Steps of a sample, of which only the numbers matter."""
    return [SimpleNamespace(prompt_id="p", seed=4, number=number) for number in numbers]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_methods_of_one_step_and_of_several_give_one_result_each(size):
    CALLED.clear()
    alone = Explaining("m", tens, None, {"power": 2})
    together = Explaining("m", twenties, None, {"power": 2})
    assert not alone.together
    assert together.together
    found = list(results(alone, iter(numbered(0, 1, 2)), size, memory.Fitting()))
    assert found == [0, 10, 40]
    found = list(results(together, iter(numbered(0, 1, 2)), size, memory.Fitting()))
    assert found == [0, 20, 80]
    assert CALLED == {1: [[0], [1], [2]], 2: [[0, 1], [2]], 8: [[0, 1, 2]]}[size]
    assert twenties(None, *numbered(3)) == 60  # a single step's maps are not in a list


def test_a_batch_is_read_when_it_is_needed_and_halved_where_it_does_not_fit():
    read, sizes = [], []

    def explain(steps):
        sizes.append(len(steps))
        if len(steps) > 2:
            raise MemoryError
        return [-step for step in steps]

    steps = (read.append(step) or step for step in range(6))
    following = results(explain, steps, 4, memory.Fitting())
    assert next(following) == 0
    assert read == [0, 1, 2, 3]
    assert list(following) == [-1, -2, -3, -4, -5]
    assert sizes == [4, 2, 2, 2]


def test_one_result_a_step_is_asked_for():
    CALLED[:] = [[]] * 4
    with pytest.raises(ValueError, match="^explain/m: 0 results for 2 steps"):
        Explaining("m", twenties, None, {})(numbered(1, 2))


def test_auto_is_measured_on_one_step(monkeypatch):
    CALLED.clear()

    def fitting_size(run_one, device, key, what):
        run_one()
        return 3, device, key, what

    monkeypatch.setattr(memory, "fitting_size", fitting_size)
    explain = Explaining("m", twenties, SimpleNamespace(device="cpu"), {})
    assert explain.fitting_size(*numbered(7), "explain/m/forward_batch") == (
        3,
        "cpu",
        "explain/m/forward_batch",
        "step",
    )
    assert CALLED == [[7]]


def test_a_method_that_reads_the_trace_needs_no_library_of_models():
    command = (
        "import sys, stepscope.methods.explain, stepscope.methods.cross_attention as own;"
        "print(own.cross_attention.replays, {'diffusers', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "src")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False set()", done.stderr


def test_every_kind_of_result_finds_its_place(tree):
    gathered = Gathered(tree)
    result = {
        "": (ONE, np.where(ONE > 2, ONE, np.nan)),  # an error may be unknown in places
        "word": torch.ones(2, 2, 3, dtype=torch.bfloat16, requires_grad=True),
        "all": Layers(("p", "q"), np.stack([ONE, ONE * np.nan])),
        "heads": Layers(("p", "q", "r"), np.ones((2, 3, 2, 3))),
        "signs": ONE > 0,
        "draws": 40,
        "said": np.stack([ONE * np.nan, ONE]),  # a word that is left out
        "value": OfWords(np.array([1.0, np.nan])),
        "pair": OfWords(np.array([[np.nan, 2.0], [2.0, np.nan]])),
    }
    gathered.put(1, 3, checked(result, "m", (2, 3), words=2))
    arrays = gathered.arrays()
    names = ("word", "all", "heads", "signs", "draws", "said", "value", "pair")
    assert set(arrays) == {"m", "m_se", *(f"m_{name}" for name in names)}
    assert np.isnan(arrays["m_said"].sel(sample=1, step=3)).all(("y", "x")).values.tolist() == [
        *(True, False, True)
    ]
    assert arrays["m_value"].dims == ("sample", "step", "word")
    assert arrays["m_value"].sel(sample=1, step=3).fillna(0).values.tolist() == [1, 0, 0]
    assert arrays["m_pair"].dims == ("sample", "step", "word", "other_word")
    assert arrays["m_pair"].sel(sample=1, step=3)[0, 1] == 2
    assert arrays["m_heads"].dims == ("sample", "step", "word", "layer", "y", "x")
    assert np.isfinite(arrays["m_heads"]).sum() == 2 * 3 * 6
    assert arrays["m"].dims == ("sample", "step", "y", "x")
    assert arrays["m_word"].dims == ("sample", "step", "word", "y", "x")
    assert list(arrays["m_all"]["layer"].values) == ["p", "q"]
    assert np.isfinite(arrays["m"]).sum() == 6
    assert np.isfinite(arrays["m_word"].sel(sample=1, step=3)).sum() == 12
    assert np.isnan(arrays["m_word"].isel(word=2)).all()
    assert np.isnan(arrays["m_all"].sel(sample=1, step=3, layer="q")).all()
    assert (arrays["m_signs"].sel(sample=1, step=3) == 1).all()
    assert arrays["m_draws"].dims == ("sample", "step")
    assert arrays["m_draws"].sel(sample=1, step=3) == 40
    assert np.isfinite(arrays["m_draws"]).sum() == 1


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (ONE * np.nan, "6 of the 6 values of m are NaN."),
        ({"a": (ONE, ONE * np.inf)}, "6 of the 6 values of m_a_se are NaN or infinite."),
        (np.where(ONE > 0, [np.inf, 1, np.nan], 0), "4 of the 6 values of m are NaN or infinite."),
        (ONE * 1e300, "m has the value 1e+300, beyond what float32 can hold."),
        (torch.ones(2, 3) * 1j, "m is of type complex64, not a map of real numbers."),
        ({"a": np.float32(np.nan)}, "m_a is nan, not a finite number."),
        (3.0, "m has shape (), but the latent grid is (2, 3)."),
        (None, "m is of type NoneType, not a map of real numbers."),
        ("heart", "m is of type str, not a map of real numbers."),
        ([[1, 2], [3]], "m is no map of numbers: setting an array element with a sequence."),
        ({}, "the method returned an empty dict, and so no map."),
        ({1: ONE}, "a variant is called 1; a name has letters, digits and _ alone"),
        ({"a/b": ONE}, "a variant is called 'a/b'; a name has"),
        ({"": ONE, "se": ONE}, "does not end with se, which stands for standard errors."),
        ((ONE, ONE, ONE), "m has 3 parts; a pair is a map and its error."),
        ((np.ones((2, 2, 3)), ONE), "m_se is of another form than the map whose error it is."),
        (np.ones((4, 3)), "m has shape (4, 3), but the latent grid is (2, 3)."),
        (np.ones((1, 2, 2, 3)), "m has shape (1, 2, 2, 3), but the latent grid is (2, 3)."),
        (np.ones((5, 2, 3)), "m has 5 maps for the 2 words of the prompt."),
        (np.where(ONE > 0, [0, 1, np.nan], 0)[None].repeat(2, 0), "4 of the 12 values of m are"),
        ({"": ONE, "a": OfWords(np.ones(3))}, "m_a has shape (3,) for the 2 words of the prompt."),
        ({"": ONE, "a": OfWords(np.ones(2) * np.inf)}, "m_a has numbers beyond what float32"),
        (Layers(("p",), np.ones((2, 2, 3))), "m has 2 maps for the 1 layers."),
        (Layers(("p",), np.ones((3, 1, 2, 3))), "m has 3 maps for the 2 words of the prompt."),
        (Layers(("p",), np.where(ONE > 0, [0, 1, np.nan], 0)[None]), "2 of the 6 values of m are"),
    ],
)
def test_what_is_no_map_is_refused(result, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked(result, "m", (2, 3), words=2)


@pytest.mark.parametrize(
    ("first", "second", "differing"),
    [
        (ONE, np.ones((2, 2, 3)), "m"),
        ({"": ONE, "a": ONE}, {"": ONE}, "m_a"),
        ({"": ONE, "a": ONE}, {"": ONE, "a": 3}, "m_a"),
        (Layers(("p",), ONE[None]), Layers(("q",), ONE[None]), "m"),
    ],
)
def test_the_steps_of_a_method_have_the_same_maps(tree, first, second, differing):
    gathered = Gathered(tree)
    gathered.put(0, 1, checked(first, "m", (2, 3), words=2))
    gathered.put(1, 1, checked(first, "m", (2, 3), words=2))
    with pytest.raises(ValueError, match=f"^{differing}: the steps of a method"):
        gathered.put(0, 2, checked(second, "m", (2, 3), words=2))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("no mask."), ValueError, "explain/m: cat, step 1: no mask."),
        (ZeroDivisionError("by zero"), RuntimeError, "explain/m: cat, step 1: ZeroDivisionError: "),
        (KeyError("x"), RuntimeError, "explain/m: cat, step 1: KeyError: 'x'"),
    ],
)
def test_an_error_says_which_method_had_it_and_where(error, kind, message):
    with pytest.raises(kind, match=re.escape(message)) as caught, told("explain/m: cat, step 1"):
        raise error
    assert caught.value.__cause__ is error


def test_reduction_sums_layers_and_averages_words_with_a_role():
    layers = xr.DataArray(
        np.stack([np.ones((2, 2)), np.full((2, 2), np.nan), 2 * np.ones((2, 2))])[None, None],
        dims=("sample", "step", "layer", "y", "x"),
    )
    words = xr.DataArray(
        np.arange(3.0)[None, None, :, None, None] * np.ones((2, 1, 3, 2, 2)),
        dims=("sample", "step", "word", "y", "x"),
        coords={"word_role": (("sample", "word"), [["subject", "", "object"], ["", "", ""]])},
    )
    reduced = flat({"layers": layers, "words": words})
    assert (reduced["layers"] == 3).all()
    assert (reduced["words"].isel(sample=0) == 1).all()  # mean of words 0 and 2
    assert (reduced["words"].isel(sample=1) == 1).all()  # no roles: mean of all
    assert np.isnan(flat({"none": layers * np.nan})["none"]).all()
