"""Every number and name of a study, key by key of the schema: what parsing it lets pass."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from stepscope.study import values
from stepscope.study.datasets.seeds import LARGEST
from support.package import ROOT

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
# Integers without a largest value: they take what there is, or name batches; a sampling's own steps
# are the limit of those that are chosen from it.
BOUNDLESS = {
    "datasets/*/limit",
    "datasets/*/batches",
    "storage/forward_batch",
    "explain/*/forward_batch",
    "explain/*/samples",
    "games/samples",
    "games/others",
    "convergence/samples",
    "controls/samples",
    "explain/*/steps/*",
    "games/steps/*",
    "convergence/steps/*",
    "controls/steps/*",
    "commitment/samples",
    "commitment/every",
    "commitment/decided/samples",
    "commitment/earliest/samples",
    "nulls/samples",
    "head_games/samples",
    "head_games/steps/*",
    "linear_probes/samples",
    "linear_probes/steps/*",
    "contrast/samples",
    "contrast/reference/samples",
    "probe/readers/*/samples",
    # held to the model's time steps, which no schema knows
    "samplings/*/steps",
    "samplings/*/timesteps/*",
}
SIGNED = {"samplings/*/start", "samplings/*/end"}  # log-SNR
SIGNED |= {"training/diffusion/finetune/*/log_snr/*"}
Part = dict[str, Any]


def resolved(part: Part) -> Part:
    return SCHEMA["$defs"][part["$ref"].rpartition("/")[-1]] if "$ref" in part else part


def leaves(part: Part = SCHEMA, path: str = "") -> Iterator[tuple[str, Part]]:
    """(path, part) of all that a study holds, with * for names and places in lists."""
    part = resolved(part)
    below = {f"{path}/{key}": inner for key, inner in part.get("properties", {}).items()}
    below |= {
        f"{path}/*": part[key]
        for key in ("additionalProperties", "items")
        if isinstance(part.get(key), dict)
    }
    yield path[1:], part
    for inner_path, inner in below.items():
        yield from leaves(inner, inner_path)


def types(part: Part) -> set[str]:
    """Types that a part allows, in any of its cases."""
    kinds = [case.get("type", []) for case in part.get("anyOf", [part])]
    return {name for kind in kinds for name in ([kind] if isinstance(kind, str) else kind)}


NUMBERS = {path: part for path, part in leaves() if types(part) & {"integer", "number"}}
INTEGERS = {path for path, part in NUMBERS.items() if "number" not in types(part)}
PARAMETERS = {path for path, part in NUMBERS.items() if "string" in types(part)} - INTEGERS


def passing(value: object, among: set[str]) -> set[str]:
    """Keys among some that a value passes."""
    return {path for path in among if not refusal(value, NUMBERS[path])}


def refusal(value: object, part: Part) -> str:
    try:
        values.check(value, part, "mine.yaml", ["some", "key"])
    except ValueError as error:
        return str(error)
    return ""


def test_the_numbers_are_those_of_the_schema():
    assert {"guidance", "samplings/*/gamma", "statistics/confidence", "explain/*/*"} <= {*NUMBERS}
    assert {"samplings/*/timesteps/*", "datasets/*/seeds/*", "training/vae/channels/*"} <= INTEGERS
    assert len(INTEGERS) > 40
    assert PARAMETERS == {"explain/*/*", "probe/readers/*/*", "samplings/*/end"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_other_than_finite(value):
    assert passing(value, {*NUMBERS}) == set()
    part = NUMBERS["statistics/confidence"]
    assert refusal(value, part) == f"mine.yaml: some/key: {value!r} is not a finite number."


@pytest.mark.parametrize("value", [4.0, 10.0, 2.5, True])
def test_an_integer_is_written_as_one(value):
    assert passing(value, INTEGERS) == set()
    beyond = {"height", "width", "scheduler/order", "probe/size", "statistics/draws"}
    beyond |= {"convergence/masks", "convergence/trials", "linear_probes/shuffles"}
    assert passing(4, INTEGERS) == INTEGERS - beyond
    assert refusal(4.0, NUMBERS["samplings/*/steps"]).endswith(
        "4.0 is not of type 'integer'; write 4."
    )


def test_no_number_is_below_zero_or_so_large_that_only_a_job_would_fail():
    assert passing(-1, {*NUMBERS} - PARAMETERS) == SIGNED - PARAMETERS
    assert passing(10**400, {*NUMBERS} - INTEGERS) == set()
    studied = {path for path in INTEGERS if not path.startswith("training/")}
    assert passing(10**30, studied) == BOUNDLESS


def test_every_seed_is_what_a_prompt_table_takes():
    seeds = [path for path in NUMBERS if "seed" in path and path != "datasets/*/seeds"]  # a count
    assert len(seeds) == 6
    for path in seeds:
        assert refusal(LARGEST + 1, NUMBERS[path]).endswith(f"the maximum of {LARGEST}.")
        assert not refusal(LARGEST, NUMBERS[path])


def test_no_name_ends_with_a_line_end_and_each_refusal_says_what_a_name_is():
    patterns = [part for _, part in leaves() if "pattern" in part] + [
        resolved(part["propertyNames"]) for _, part in leaves() if "propertyNames" in part
    ]
    assert len(patterns) > 10
    for part in patterns:
        assert refusal("", part) == f"mine.yaml: some/key: '' is not {part['description']}."
    for name in ("s\n", "s\n\n", "-s", "s t"):
        assert refusal(name, SCHEMA["properties"]["study"] | {"$defs": SCHEMA["$defs"]})
    assert not refusal("s-1_x", SCHEMA["$defs"]["name"])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({20: {}}, "mine.yaml: the key 20 is no text; write it in quotes."),
        ({"datasets": {False: {}}}, "mine.yaml: datasets: the key False (to YAML no, off, yes and"),
        ({"a": [{"b": {None: 1}}]}, "mine.yaml: a/0/b: the key None is no text; write it in quot"),
        ({"samplings": {1.5: {}}}, "mine.yaml: samplings: the key 1.5 is no text; write it in qu"),
    ],
)
def test_keys_are_texts(mapping, message):
    with pytest.raises(ValueError, match=r"is no text; write it in quotes\.$") as caught:
        values.check_keys(mapping, "mine.yaml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("template", ["a {} in {style}", "a {} or {}", "a {{}}", "a cat", "{0}"])
def test_a_template_has_one_place_for_the_concept_and_no_other_braces(template):
    part = dict(leaves())["probe/families/*/templates/*"]
    assert refusal(template, part) == (
        f"mine.yaml: some/key: {template!r} is not a sentence with {{}} once and without other "
        "braces."
    )
    assert not refusal("a photo of {}, in style", part)
