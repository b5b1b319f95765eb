"""What is shown is read of the guided last step, early of each half, in the samples' order."""

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.scores import shown_concepts
from stepscope.store import tables

FAMILIES = {
    "colour": {"concepts": ["red", "blue"], "only_named": False},
    "size": {"concepts": ["big", "small"], "only_named": True},
}
PROMPTS = ["a big cat", "a cat", "a small dog on red"]
IDS, SEEDS = ["b", "a", "c"], [7, 0, 3]


def samples():
    return shown_concepts.samples_of(list(zip(PROMPTS, IDS, SEEDS, strict=True)), FAMILIES)


def is_red(sample, step, prediction):
    """Guided pictures turn red by the sample's number, those of the empty prompt at step 2."""
    return {"guided": sample % 2 == 0, "e_u": step >= 2, "e_c": False}[prediction]


def table():
    rows = [
        {
            **{"prompt_id": IDS[sample], "seed": SEEDS[sample], "step": step, "reader": reader},
            **{"prediction": prediction, "family": family, "concept": concept},
            "probability": 0.9 if is_red(sample, step, prediction) == (place == 0) else 0.1,
        }
        for sample in (2, 0, 1)  # in another order
        for step in (1, 2, 3)
        for reader in ("clip", "other")
        for prediction in ("guided", "e_c", "e_u")
        for family in FAMILIES
        if family == "colour" or sample != 1
        for place, concept in enumerate(FAMILIES[family]["concepts"])
    ]
    return pd.DataFrame(rows)


def test_the_clips_table_is_read_in_the_order_of_the_samples(tmp_path):
    frame = table()
    frame.loc[frame["reader"] == "other", "probability"] = 0.5
    paths = [str(tmp_path / name) for name in ("first.tsv", "second.tsv")]
    for path, part in zip(paths, (frame[:40], frame[40:]), strict=True):
        tables.write(path, part)
    found = shown_concepts.by_table(paths, samples(), [1, 3], FAMILIES)
    assert found["colour"].final.tolist() == [0, 1, 0]
    assert found["size"].final.tolist() == [0, shown_concepts.UNREAD, 0]
    assert found["colour"].early.tolist() == [[1, 1, 1], [0, 0, 0]]


def reads_red(pictures, families):
    value = pictures[..., 0].mean((1, 2)) / 255
    return {name: np.stack([value, 1 - value], 1) for name in families}


def test_a_reader_reads_the_previews_of_all_batches(monkeypatch):
    monkeypatch.setattr(shown_concepts, "open_previews", lambda path: previews(path))
    monkeypatch.setattr(shown_concepts.readers.plugins, "resolve", lambda name: reads_red)
    entry = {"function": "mine:reads_red"}
    found = shown_concepts.by_reader(
        entry, [[0, 1], [2]], [[0, 1], [0]], samples(), [1, 3], FAMILIES
    )
    assert found["colour"].final.tolist() == [0, 1, 0]
    assert found["size"].final.tolist() == [0, shown_concepts.UNREAD, 0]
    assert found["colour"].early.tolist() == [[1, 1, 1], [0, 0, 0]]


def previews(numbers):
    """Pictures of some samples, red or black."""
    names = ["e_u", "e_c", "guided"]
    red = [
        [[is_red(number, step, name) for name in names] for step in (1, 2, 3)] for number in numbers
    ]
    values = np.zeros((*np.shape(red), 2, 2, 3), dtype="u1")
    values[..., 0] = 255 * np.array(red)[..., None, None]
    dims = ("sample", "step", "prediction", "y", "x", "rgb")
    coords = {"step": [1, 2, 3], "prediction": names}
    return xr.Dataset({"preview": (dims, values)}, coords, {"missing": []})
