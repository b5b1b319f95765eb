"""The reader that learns nothing reads composed scenes, and says what it cannot read."""

import numpy as np
import pytest

from stepscope.embedded import concept_reader, scenes


def test_composed_scenes_are_read():
    shown = [scenes.compose(seed) for seed in range(12)]
    read = concept_reader.read(np.stack([scene.picture for scene in shown]), scenes.FAMILIES)
    assert read.keys() == scenes.FAMILIES.keys()
    for family, names in scenes.FAMILIES.items():
        found = [names[number] for number in read[family].argmax(1)]
        wanted = [scenes.concepts(scene.spec, family) for scene in shown]
        pairs = [(name, true) for name, true in zip(found, wanted, strict=True) if true]
        assert np.mean([name in true for name, true in pairs]) > 0.9, family
        assert (read[family].sum(1) == 1).all()


def test_families_of_other_concepts_are_left_out():
    families = {"colour": ["red", "mauve"], "size": ["small", "big"], "mood": ["glad", "sad"]}
    read = concept_reader.read(scenes.compose(0).picture[None], families)
    assert read.keys() == {"size"}


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match="32 x 32 pixels are no composed scenes; set probe/size"):
        concept_reader.read(np.zeros((1, 32, 32, 3), "u1"), {})
