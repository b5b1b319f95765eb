"""Readers and concepts that a study names wrongly are refused by key, before any job."""

import pytest

from stepscope.study.reader_checks import check_concepts, check_readers

MODULE = "def read(pictures, families, threshold=1): ...\ndef short(pictures): ...\n"


def source(path):
    return MODULE if path == "own.py" else None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"function": "own:raed"}, "function: own.py has no 'raed', did you mean read."),
        ({"function": "own:short"}, "function: short takes 1 arguments by position, and a reader"),
        (
            {"function": "own:read", "treshold": 2},
            "treshold: read has no such key, did you mean threshold.",
        ),
        ({"function": "nowhere_at_all:read"}, "function: there is no module nowhere_at_all"),
    ],
)
def test_refusals_name_file_and_key(entry, message):
    with pytest.raises(ValueError, match="^mine.yaml: probe/readers/mine/") as caught:
        check_readers({"mine": entry}, source, "mine.yaml")
    assert message in str(caught.value)


def test_what_a_reader_takes_is_let_through():
    entry = {"function": "own:read", "threshold": 2, "samplings": None, "samples": 3}
    check_readers({"mine": entry}, source, "mine.yaml")


@pytest.mark.parametrize("twin", ["T-Shirt", "t shirt", "T\u2011shirt"])
def test_a_concept_twice_is_refused_whatever_its_spelling(twin):
    check_concepts({"f": {"concepts": ["t-shirt", "shirt"]}}, "mine.yaml")
    with pytest.raises(ValueError, match="mine.yaml: probe/families/f/concepts: .* same words"):
        check_concepts({"f": {"concepts": ["t-shirt", twin]}}, "mine.yaml")
