"""Concepts: the classifier, probabilities, onsets on made curves, and the probe of a tiny CLIP."""

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image

from stepscope.scores import concepts, emergence, readers
from stepscope.store import tables
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, trace

CONCEPT_FAMILIES = {
    "object": {
        "templates": ["a {}", "the {}"],
        "concepts": ["cat", "dog", "sun"],
        "only_named": False,
    },
    "size": {"templates": ["{}"], "concepts": ["big", "small"], "only_named": True},
}

OBJECTS = {"object": ["cat", "dog"]}


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8}
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model = open_clip.CLIP(8, vision, text).eval()
    return (
        model,
        open_clip.image_transform(32, is_train=False),
        open_clip.SimpleTokenizer(context_length=8),
    )


def test_the_classifier_is_open_clips(clip):
    model, _, tokenizer = clip
    features = concepts.classifier(model, tokenizer, ["a {}", "the {}"], ["cat", "dog"])
    expected = open_clip.build_zero_shot_classifier(
        model, tokenizer, ["cat", "dog"], [lambda c: f"a {c}", lambda c: f"the {c}"]
    )
    torch.testing.assert_close(features, expected.T)


def test_probability_is_a_softmax_and_the_margin_is_to_the_best_other():
    probability, margin = concepts.scored(np.array([[0.3, 0.1, 0.2], [0.1, 0.1, 0.0]]), 10)
    np.testing.assert_allclose(probability.sum(-1), 1)
    np.testing.assert_allclose(probability[0, 0] / probability[0, 1], np.exp(2))
    np.testing.assert_allclose(margin, [[1, -2, -1], [0, 0, -1]])


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ([2, 1, 1, 1], 1),
        ([1, 1, 1, 1], 0),
        ([1, 2, 1, 1], 2),  # an early win that is lost again does not count
        ([0, 0, 0, 1], 3),
        ([1, 1, 1, 2], np.nan),
    ],
)
def test_onset_is_where_the_final_concept_stays(top, expected):
    np.testing.assert_equal(float(emergence.onset(np.array(top) == 1)), expected)


def test_named_finds_whole_words_and_phrases():
    prompts = ["a cat next to a bigger dog", "a big cat, on blue", "Big-hat"]
    is_named = emergence.named(prompts, ["big", "cat"])
    assert is_named.tolist() == [[False, True], [True, True], [True, False]]
    assert emergence.named(prompts, ["next to"]).tolist() == [[True], [False], [False]]


@pytest.mark.parametrize(
    ("prompt", "concept", "expected"),
    [
        ("a t-shirt on a chair", "t-shirt", True),
        ("a T\u2011Shirt on a chair", "t shirt", True),
        ("a shirt on a chair", "t-shirt", False),
        ("the dog\u2019s bowl", "dog's bowl", True),
        ("the dog\u2019s bowl", "dog", True),
        ("a polka-dot dress", "polka dot", True),
        ("a cafe\u0301", "Café", True),
        ("ｒｅｄ", "red", True),
        ("एक लाल बिल्ली", "लाल", True),
        ("एक लाल बिल्ली", "ल", False),
        ("a cat 🐱", "🐱", False),  # no word, which must not be in every prompt
    ],
)
def test_prompt_and_concept_are_compared_alike(prompt, concept, expected):
    assert emergence.named([prompt], [concept]).tolist() == [[expected]]


def test_the_onset_of_a_compound_is_that_of_all_that_the_prompt_names():
    frame = made_concepts().replace({"concept": {"cat": "t-shirt", "dog": "chair"}})
    found = emergence.emergence(
        frame, {"p": "a t-shirt on a chair"}, {"object": ["t-shirt", "chair"]}
    )
    assert set(found["concept"]) == {"t-shirt"}
    assert (found["onset_step"] == 1).all()  # the one or the other is always on top


def made_concepts():
    """The guided prediction shows the cat from step 2, e_u from step 3, e_c the dog at the end."""
    curves = {
        "guided": [0.4, 0.6, 0.9, 0.8],
        "e_u": [0.7, 0.3, 0.8, 0.9],
        "e_c": [0.9, 0.9, 0.6, 0.1],
    }
    rows = [
        {**KEYS, "prompt_id": "p", "seed": 0, "step": step, "timestep": 1000.0 - step,
         "log_snr": float(step), "prediction": prediction, "family": "object", "concept": concept,
         "reader": "clip", "probability": value if concept == "cat" else 1 - value, "margin": 0.0}
        for prediction, curve in curves.items()
        for step, value in enumerate(curve, 1)
        for concept in ("cat", "dog")
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0).reset_index(drop=True)


def test_emergence_of_made_curves():
    frame = emergence.emergence(made_concepts(), {"p": "a cat"}, OBJECTS)
    assert tuple(frame.columns) == TABLES["rq3_emergence"].columns
    assert set(frame["concept"]) == {"cat"}
    onsets = frame.set_index("prediction")
    assert onsets.loc["guided", "onset_step"] == 2
    assert onsets["shown"].to_dict() == {"guided": "0111", "e_u": "1011", "e_c": "1110"}
    assert (onsets["chance"] == 0.5).all()  # no other sample has shown what chance gives
    assert (onsets["counted"] == "cat").all()
    assert onsets.loc["e_u", ["onset_step", "onset_timestep", "onset_log_snr"]].tolist() == [
        3,
        997,
        3,
    ]
    assert onsets.loc["e_c", ["onset_step", "onset_timestep", "onset_log_snr"]].isna().all()


def test_any_of_several_named_concepts_counts_for_an_onset():
    frame = emergence.emergence(made_concepts(), {"p": "a cat next to a dog"}, OBJECTS)
    assert set(frame["concept"]) == {"cat"}
    assert set(frame["counted"]) == {"cat|dog"}
    assert (frame["onset_step"] == 1).all()  # the cat or the dog is always on top
    # a picture that shows what its prompt does not name is held to what it shows
    other = emergence.emergence(made_concepts(), {"p": "a dog"}, OBJECTS).set_index("prediction")
    assert other.loc["guided", "onset_step"] == 2


@pytest.mark.parametrize("missing", [[], ["e_u"]])
def test_the_probe_reads_every_stored_prediction(clip, missing):
    tree = trace(samples=2, steps=3)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (2, 3, 3, 32, 32, 3)).astype(np.uint8)
    coords = tables.who_and_when(tree) | {
        "prediction": np.array(["e_u", "e_c", "guided"], dtype=object)
    }
    previews = xr.Dataset(
        {"preview": (("sample", "step", "prediction", "y", "x", "rgb"), pictures)},
        coords,
        attrs={"missing": missing},
    )
    frame = concepts.probe(previews, ["a big cat", "a cat"], clip, CONCEPT_FAMILIES, KEYS)
    assert tuple(frame.columns) == TABLES["rq3_concepts"].columns
    predictions = 3 - len(missing)
    assert len(frame) == 2 * 3 * predictions * 3 + 1 * 3 * predictions * 2
    assert set(frame[frame["family"] == "size"]["seed"]) == {0}  # the other prompt names no size
    total = frame.groupby(["seed", "step", "prediction", "family"])["probability"].sum()
    np.testing.assert_allclose(total, 1)
    model, preprocess, tokenizer = clip
    image = preprocess(Image.fromarray(pictures[1, 2, 2]))[None]
    with torch.inference_mode():
        cosine = torch.nn.functional.normalize(model.encode_image(image), dim=-1)
        texts = concepts.classifier(model, tokenizer, ["a {}", "the {}"], ["cat", "dog", "sun"])
        expected = (model.logit_scale.exp() * cosine @ texts.T).softmax(-1)[0]
    rows = frame[(frame["seed"] == 1) & (frame["step"] == 3) & (frame["prediction"] == "guided")]
    np.testing.assert_allclose(rows["probability"], expected, rtol=1e-3)
    prompts = dict.fromkeys(frame["prompt_id"], "a big cat")
    assert (
        len(
            emergence.emergence(
                frame,
                prompts,
                {name: about["concepts"] for name, about in CONCEPT_FAMILIES.items()},
            )
        )
        == predictions * 3
    )


def test_chance_is_what_the_others_show_at_their_first_step():
    one = made_concepts()
    others = [one.assign(seed=seed) for seed in (1, 2)]
    swapped = one.assign(seed=3, concept=one["concept"].map({"cat": "dog", "dog": "cat"}))
    frame = pd.concat([one, *others, swapped], ignore_index=True)
    found = emergence.emergence(frame, {"p": "a picture"}, OBJECTS).set_index("seed")
    # of the three others, two cats and a dog at first, and one more shared by both concepts
    assert set(found.loc[0, "chance"]) == {(2 + 0.5) / 4}
    assert set(found.loc[3, "chance"]) == {0.5 / 4}


def one_hot(pictures, families, *, shift=0):
    """A reader of one's own: the object's number is the picture's first value."""
    numbers = (pictures[:, 0, 0, 0].astype(int) + shift) % len(families["object"])
    sizes = np.eye(len(families["size"]))[[0] * len(pictures)]
    return {"object": np.eye(len(families["object"]))[numbers], "size": sizes}


def test_a_reader_of_ones_own_has_a_row_for_what_it_reads():
    tree = trace(samples=2, steps=2)
    numbers = np.arange(2 * 2 * 3).reshape(2, 2, 3) % 3
    pictures = np.broadcast_to(numbers[..., None, None, None], (2, 2, 3, 4, 4, 3)).astype(np.uint8)
    coords = tables.who_and_when(tree) | {
        "prediction": np.array(["e_u", "e_c", "guided"], dtype=object)
    }
    previews = xr.Dataset(
        {"preview": (("sample", "step", "prediction", "y", "x", "rgb"), pictures)},
        coords,
        attrs={"missing": []},
    )
    entry = {"function": f"{__name__}:one_hot", "samples": None, "shift": 1}
    frame = concepts.read_by(
        "mine", entry, previews, [1], ["a cat", "a big dog"], CONCEPT_FAMILIES, KEYS
    )
    assert tuple(frame.columns) == TABLES["rq3_concepts"].columns
    assert set(frame["reader"]) == {"mine"}
    assert set(frame["seed"]) == {1}
    assert (frame["probability"] == 1).all()
    names = np.array(CONCEPT_FAMILIES["object"]["concepts"])
    of_family = frame.groupby("family")["concept"].agg(list)
    assert set(of_family["size"]) == {CONCEPT_FAMILIES["size"]["concepts"][0]}  # named in sample 1
    unnamed = concepts.read_by(
        "mine", entry, previews, [0], ["a cat", "a big dog"], CONCEPT_FAMILIES, KEYS
    )
    assert set(unnamed["family"]) == {"object"}
    assert of_family["object"] == names[(numbers[1].ravel() + 1) % 3].tolist()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, "reads none of the study's concept families"),
        ({"object": np.ones((1, 2))}, r"object has numbers of shape \(1, 2\), not \(1, 3\)"),
        ({"other": np.ones((1, 1))}, r"other has numbers of shape \(1, 1\), not \(1, 0\)"),
        ({"object": np.array([[0.5, 0.2, 0.1]])}, "must be at least 0 and sum to 1"),
    ],
)
def test_what_a_reader_returns_is_checked(found, message, monkeypatch):
    monkeypatch.setattr(readers.plugins, "resolve", lambda _: lambda pictures, families: found)
    with pytest.raises(ValueError, match=rf"^mine:read: .*{message}"):
        readers.read(np.zeros((1, 4, 4, 3), "u1"), {"function": "mine:read"}, {"object": "abc"})
