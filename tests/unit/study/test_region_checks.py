"""A segmenter that knows no word of the prompts is refused before anything is computed."""

import json

import pytest

from stepscope.study.region_checks import check_regions

LABELS = {"0": "background", "1": "Car", "2": "café; coffeehouse", "3": "orange"}

CONFIG = json.dumps({"id2label": LABELS})


def records(*prompts):
    return [{"prompt": prompt, "roles": roles} for prompt, roles in prompts]


def check(tmp_path, prompts, text=CONFIG, kind="segmenter"):
    (tmp_path / "config.json").write_text(text)
    entry = {"kind": kind, "folder": "seg"}
    check_regions(entry, prompts, lambda folder: tmp_path, "study.yaml")


@pytest.mark.parametrize(
    "prompts",
    [
        {"d": records(("a cat", {"subject": "cat"}))},
        {"d": records(("an orange cat", {"attribute": "orange"}))},  # a colour is no region's word
        {"d": records(("a scarf", {})), "e": records(("a plain background", {}))},
    ],
)
def test_labels_that_no_prompt_names_are_refused(tmp_path, prompts):
    message = r"^study.yaml: ground/folder: none of the labels of seg \(background, car, "
    with pytest.raises(ValueError, match=message):
        check(tmp_path, prompts)


@pytest.mark.parametrize("word", ["car", "CARS", "Cafe\u0301s", "coffeehouse", "orange"])
def test_one_word_of_one_prompt_is_enough(tmp_path, word):
    check(tmp_path, {"d": records(("a cat", {})), "e": records((f"a dog, {word}", {}))})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id2label": [1]}', '{"id2label": {"a": "b"}}'])
def test_a_torn_segmenter_is_left_to_the_job_that_loads_it(tmp_path, text):
    check(tmp_path, {"d": records(("a cat", {}))}, text)


def test_a_text_segmenter_needs_a_subject_or_an_object(tmp_path):
    without = records(("a red cat", {"attribute": "red"}))
    with pytest.raises(ValueError, match=r"^study.yaml: ground: a text_segmenter is asked with"):
        check(tmp_path, {"d": without}, kind="text_segmenter")
    with_object = records(("a cat", {"object": "cat"}))
    check(tmp_path, {"d": without, "e": with_object}, kind="text_segmenter")
    check(tmp_path, {"d": without}, kind="masks")  # the way to do without regions
