from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from stepscope.embedded import captions, details, scenes, untrained_readers
from stepscope.language import ROLES


def test_a_seed_gives_one_scene():
    a, b = scenes.compose(7), scenes.compose(7)
    np.testing.assert_array_equal(a.picture, b.picture)
    assert (a.caption, a.roles) == (b.caption, b.roles)
    assert a.picture.shape == (64, 64, 3)
    assert a.picture.dtype == np.uint8


def test_captions_name_what_is_shown_in_balanced_orders_and_leave_families_open():
    composed = [scenes.compose(i) for i in range(400)]
    for scene in composed:
        words = scene.caption.replace(",", "").split()
        for role, of_role in scene.roles.items():
            assert role in ROLES
            assert set(of_role.split()) <= set(words)
        assert set(scene.objects) <= set(words)
        for family in captions.OPTIONAL:
            for concept in scenes.concepts(scene.spec, family):
                assert (concept in words) == (family in scene.named)
    starts = [scene.caption.split()[0] for scene in composed]
    for start in ("on", "with"):
        assert 0.2 < np.mean([word == start for word in starts]) < 0.4
    for family, share in captions.OPTIONAL.items():
        assert np.mean([family in scene.named for scene in composed]) == pytest.approx(
            share, abs=0.1
        )


def test_words_stand_for_one_family_each():
    every = [concept for family in scenes.FAMILIES.values() for concept in family]
    assert len(set(every)) == len(every)
    assert not set(every) & set(captions.OTHER_WORDS)


def test_a_detail_takes_every_place_in_the_list_of_details():
    spec = scenes.Spec(("fox",), "red", "plain", size="big")
    assert [captions.caption(spec, order) for order in captions.ORDERS] == [
        "a big fox on a plain red background with a white frame, a golden ring and a bar seal",
        "on a plain red background, a big fox with a golden ring, a bar seal and a white frame",
        "with a bar seal, a white frame and a golden ring, a big fox on a plain red background",
    ]


@pytest.mark.parametrize(
    ("named", "caption"),
    [
        (set(), "a fox"),
        ({"colour"}, "a fox on a red background"),
        ({"texture", "tint"}, "a fox on a plain background with a golden mark"),
        ({"size", "mark"}, "a big fox with a ring"),
    ],
)
def test_what_a_caption_does_not_name_is_left_out(named, caption):
    spec = scenes.Spec(("fox",), "red", "plain", size="big")
    assert captions.caption(spec, named=named) == caption
    words = " ".join(captions.roles(spec, named).values()).split()
    assert set(words) <= set(caption.split())


def test_masks_are_exact_and_a_relation_has_none():
    for seed in range(50):
        scene = scenes.compose(seed, strength=replace(details.WORLD, grain=0))
        spec = scene.spec
        background = scene.masks[spec.colour]
        objects = np.any([scene.masks[name] for name in scene.objects], axis=0)
        assert (background == ~objects).all()
        assert spec.relation not in scene.masks
        plain = scenes.backdrop(spec.colour, spec.texture) * 255
        # outside sprites, their soft edge and the details the picture is the backdrop
        difference = np.abs(scene.picture - plain).max(-1)
        outside = details.emphasis(0, 0) * (1 - details.frame_coverage()) > 0
        for y, x, height, width in scene.boxes:
            outside[y : y + height, x : x + width] = False
        assert difference[outside].max() < 20
        assert difference[objects].mean() > 20


@pytest.mark.parametrize("family", scenes.DETAILS)
def test_a_detail_changes_what_its_mask_says_and_nothing_else(family):
    for seed in range(6):
        scene = scenes.compose(seed)
        now = getattr(scene.spec, family)
        other = next(name for name in scenes.FAMILIES[family] if name != now)
        changed = scenes.compose(seed, spec=replace(scene.spec, **{family: other}))
        again = scenes.compose(seed, spec=scene.spec)
        moved = (changed.picture != again.picture).any(-1)
        soft = again.masks[now] | changed.masks[other]
        either = ndimage.binary_dilation(soft, np.ones((3, 3)))
        assert moved.any()
        assert not (moved & ~either).any()


def test_grain_falls_with_frequency_and_has_the_deviation_asked_for():
    rng = np.random.default_rng(0)
    drawn = np.stack([details.grain(rng, 0.03) for _ in range(40)])
    assert drawn.std() == pytest.approx(0.03, rel=0.02)
    power = np.square(np.abs(np.fft.fft2(drawn, axes=(1, 2)))).mean((0, 3))
    # amplitude as 1/frequency: four times the frequency, a sixteenth of the power
    assert power[0, 2] / power[0, 8] == pytest.approx(16, rel=0.3)


def test_layout_follows_the_relation():
    for seed in range(100):
        scene = scenes.compose(seed)
        if relation := scene.spec.relation:
            (y0, x0), (y1, x1) = (np.argwhere(scene.masks[name]).mean(0) for name in scene.objects)
            assert (y1 - y0 > 20) if relation == "above" else (x1 - x0 > 20)


def test_held_out_combinations_never_occur_in_training():
    assert not any(scenes.held_out(scenes.compose(i).spec) for i in range(300))
    assert all(scenes.held_out(scenes.compose(i, "test").spec) for i in range(100))


def test_a_specification_can_be_composed_as_given():
    spec = scenes.Spec(("fox", "umbrella"), "red", "striped", relation="next to")
    assert captions.caption(spec, "background first", {"colour", "texture"}) == (
        "on a striped red background, a fox next to an umbrella"
    )
    assert captions.roles(spec)["attribute"] == "striped"
    assert scenes.compose(3, spec=spec).spec == spec


@pytest.mark.parametrize("split", ["train", "test"])
def test_readers_find_what_was_composed(split):
    composed = [scenes.compose(i, split) for i in range(40)]
    pictures = np.stack([scene.picture for scene in composed])
    backgrounds = [(scene.spec.colour, scene.spec.texture) for scene in composed]
    assert untrained_readers.read_background(pictures) == backgrounds
    assert untrained_readers.read_colour(pictures) == [scene.spec.colour for scene in composed]
    for scene in composed:
        sides = [scenes.PAIRED] if scene.spec.relation else [scenes.BIG, scenes.SMALL]
        (names,) = untrained_readers.read_objects(scene.picture[None], sides, len(scene.objects))
        assert set(names) == set(scene.objects)
    for right in untrained_readers.details_right(pictures, composed).values():
        assert right.mean() >= 0.95
