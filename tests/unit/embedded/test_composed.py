"""The pictures and masks of composed datasets as files."""

import numpy as np
import pytest

from stepscope.embedded import composed, draws
from stepscope.language import words
from stepscope.models.words import Word
from stepscope.pictures.files import read_picture
from stepscope.pictures.ground import by_files, fill

SEED, COUNT = 3, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "first"
    composed.compose(str(path), scenes=COUNT, seed=SEED)
    return path


def prompt(scene):
    """Words of a scene's caption with their roles, as a trace has them."""
    role_of = {word: role for role, text in scene.roles.items() for word in text.split()}
    return [
        Word(i, text, role_of.get(text, ""), (i + 1,))
        for i, text in enumerate(words(scene.caption))
    ]


def test_the_same_files_whenever_they_are_made(folder, tmp_path):
    composed.compose(str(tmp_path / "again"), scenes=2, seed=SEED)
    again = sorted(path for path in (tmp_path / "again").rglob("*.png"))
    assert len(again) > 20
    for path in again:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path / "again")).read_bytes()
    first, second = (read_picture(folder / f"scene-{SEED}-{number}.png") for number in (1, 2))
    assert np.any(np.asarray(first) != np.asarray(second))


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_every_word_that_covers_pixels_has_its_exact_mask(folder, number):
    scene = list(draws.drawn(COUNT, SEED))[number - 1]
    picture, masks = composed.painted(scene)
    assert np.array_equal(read_picture(folder / f"{scene.prompt_id}.png"), picture)
    spoken = prompt(scene)
    found = fill(spoken, by_files(spoken, str(folder / scene.prompt_id), (64, 64)), (64, 64))
    for word, mask in zip(spoken, found, strict=True):
        if word.text in masks:
            assert np.array_equal(mask, masks[word.text])
        else:
            assert word.role in ("", "relation")
            assert np.isnan(mask).all()


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_masks_lie_where_the_picture_shows_their_words(number):
    scene = list(draws.drawn(COUNT, SEED))[number - 1]
    _, masks = composed.painted(scene)
    spec = scene.spec
    objects = np.any([masks[name] for name in spec.objects], axis=0)
    assert np.array_equal(masks["background"], ~objects)
    assert np.array_equal(masks[spec.colour], masks["background"])
    assert masks["frame"].sum() == 64**2 - 60**2  # two pixels wide
    for name, corner in (("mark", np.s_[2:13, 2:13]), ("seal", np.s_[50:62, 50:62])):
        assert masks[name].sum() == masks[name][corner].sum() > 10
        assert np.array_equal(masks[name], masks[getattr(spec, name)])
