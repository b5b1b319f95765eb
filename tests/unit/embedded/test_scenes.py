import numpy as np
import pytest

from stepscope.embedded import scenes, untrained_readers
from stepscope.language import ROLES


def test_a_seed_gives_one_scene():
    a, b = scenes.compose(7), scenes.compose(7)
    np.testing.assert_array_equal(a.picture, b.picture)
    assert (a.caption, a.roles) == (b.caption, b.roles)
    assert a.picture.shape == (64, 64, 3)
    assert a.picture.dtype == np.uint8


def test_captions_name_what_is_shown_in_two_balanced_orders():
    composed = [scenes.compose(i) for i in range(400)]
    for scene in composed:
        words = scene.caption.replace(",", "").split()
        for role, word in scene.roles.items():
            assert role in ROLES
            assert set(word.split()) <= set(words)
        assert set(scene.objects) | {scene.colour, scene.texture} <= set(words)
    first = np.mean([scene.caption.startswith("on ") for scene in composed])
    assert 0.4 < first < 0.6


def test_masks_are_exact_and_a_relation_has_none():
    for seed in range(50):
        scene = scenes.compose(seed)
        background = scene.masks[scene.colour]
        objects = np.any([scene.masks[name] for name in scene.objects], axis=0)
        assert (background == ~objects).all()
        assert scene.relation not in scene.masks
        plain = scenes.backdrop(scene.colour, scene.texture) * 255
        # outside the sprites and their soft edge the picture is the backdrop
        difference = np.abs(scene.picture - plain).max(-1)
        outside = np.ones((64, 64), bool)
        for y, x, height, width in scene.boxes:
            outside[y : y + height, x : x + width] = False
        assert difference[outside].max() < 20
        assert difference[objects].mean() > 20


def test_layout_follows_the_relation():
    for seed in range(100):
        scene = scenes.compose(seed)
        if scene.relation:
            (y0, x0), (y1, x1) = (np.argwhere(scene.masks[name]).mean(0) for name in scene.objects)
            assert (y1 - y0 > 20) if scene.relation == "above" else (x1 - x0 > 20)


def test_held_out_combinations_never_occur_in_training():
    assert not any(scenes.held_out(scenes.compose(i).spec) for i in range(300))
    assert all(scenes.held_out(scenes.compose(i, "test").spec) for i in range(100))


def test_a_specification_can_be_composed_as_given():
    spec = scenes.Spec(("fox", "umbrella"), "red", "striped", relation="next to")
    caption, roles = scenes.describe(spec, "background first")
    assert caption == "on a striped red background, a fox next to an umbrella"
    assert roles["attribute"] == "striped"
    assert scenes.compose(3, spec=spec).spec == spec


@pytest.mark.parametrize("split", ["train", "test"])
def test_readers_find_what_was_composed(split):
    composed = [scenes.compose(i, split) for i in range(40)]
    pictures = np.stack([scene.picture for scene in composed])
    backgrounds = [(scene.colour, scene.texture) for scene in composed]
    assert untrained_readers.read_background(pictures) == backgrounds
    assert untrained_readers.read_colour(pictures) == [scene.colour for scene in composed]
    for scene in composed:
        sides = [scenes.PAIRED] if scene.relation else [scenes.BIG, scenes.SMALL]
        (names,) = untrained_readers.read_objects(scene.picture[None], sides, len(scene.objects))
        assert set(names) == set(scene.objects)
