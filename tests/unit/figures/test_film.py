"""Films have a frame a step, show maps where there are any, and are the same bytes in every run."""

import numpy as np
import pytest
from PIL import Image

from stepscope.figures import film
from support.drawings import sample


@pytest.fixture(scope="module")
def samples(rng):
    """Two samples of schedules with four and three steps; of the second no step has a map."""
    shown = [sample(rng, number, steps=(2, 4)) for number in (0, 1)]
    return [shown[0].isel(step=slice(4)), shown[1].isel(step=slice(2, 5))]


def test_a_film_is_an_animation_with_a_frame_a_step(samples, tmp_path):
    for run in "ab":
        film.save(str(tmp_path / f"{run}.webp"), film.film(samples, "df_rise"))
    with Image.open(tmp_path / "a.webp") as opened:
        assert (opened.format, opened.n_frames, opened.is_animated) == ("WEBP", 4, True)
        frames = [np.asarray(opened.convert("RGB")) for _ in _each(opened)]
    drawn = film.film(samples, "df_rise")
    for frame, expected in zip(frames, drawn, strict=True):
        assert np.array_equal(frame, expected)  # without loss, and no frame is left out
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()


def _each(opened):
    for number in range(opened.n_frames):
        opened.seek(number)
        yield number


@pytest.mark.parametrize(
    ("saliency", "coloured"),
    [(np.eye(4), True), (-np.eye(4), True), (np.full((4, 4), np.nan), False)],
    ids=["positive", "negative", "no map"],
)
def test_a_map_is_laid_over_a_grey_picture(saliency, coloured):
    picture = np.full((8, 8, 3), (10, 200, 90), np.uint8)
    red, green, blue = np.moveaxis(
        np.asarray(film.overlaid(picture, saliency, np.zeros((8, 8))), int), -1, 0
    )
    assert (red != green).any() == (green != blue).any() == coloured
    if coloured:
        assert (red > blue).any() == (saliency.max() > 0)


def test_an_outline_is_drawn_around_the_objects_alone():
    picture, none = np.full((8, 8, 3), 128, np.uint8), np.full((4, 4), np.nan)
    mask = np.zeros((8, 8))
    mask[2:6, 2:6] = 1
    plain, outlined = (
        np.asarray(film.overlaid(picture, none, each)) for each in (np.zeros((8, 8)), mask)
    )
    y, x = np.nonzero((plain != outlined).any(-1))
    quarter, rest = film.PANEL // 4, 6
    for axis in (y, x):
        assert abs(axis.min() - quarter) < rest
        assert abs(axis.max() - 3 * quarter) < rest
    assert len(y) < 0.1 * film.PANEL**2


def test_a_study_without_maps_has_a_film_that_says_so(tmp_path):
    film.save(str(tmp_path / "none.webp"), film.film([], "df_rise"))
    with Image.open(tmp_path / "none.webp") as opened:
        assert opened.n_frames == 1
