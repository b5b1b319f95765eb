"""Previews: what is written, and which pictures and samples are read back."""

import numpy as np
import pytest
import xarray as xr

from stepscope.store import maps
from support import synthetic

PREDICTIONS = ("e_u", "e_c", "guided")


@pytest.fixture
def previews(tmp_path):
    """Path and contents of a store of previews of three samples with four steps."""
    tree = synthetic.trace(samples=3, steps=4)
    tree.attrs["digest"] = "key"
    rng = np.random.default_rng(0)
    preview = rng.integers(0, 255, (3, 4, 3, 5, 6, 3)).astype("u1")
    image = rng.integers(0, 255, (3, 10, 12, 3)).astype("u1")
    path = str(tmp_path / "p.zarr")
    maps.write_previews(path, preview, image, PREDICTIONS, tree, {"missing": ["e_u"]})
    return path, preview, image


def test_final_pictures_are_those_that_were_written(previews):
    path, _, image = previews
    np.testing.assert_array_equal(maps.final_pictures(path), image)
    attrs = maps.open_previews(path).attrs
    assert (attrs["trace"], attrs["missing"]) == ("key", ["e_u"])


def test_a_missing_prediction_has_no_pictures(previews):
    path, preview, _ = previews
    pictures = maps.prediction_pictures(maps.open_previews(path))
    assert pictures["prediction"].values.tolist() == ["e_c", "guided"]
    np.testing.assert_array_equal(pictures, preview[:, :, 1:])


def test_a_sample_is_read_by_prompt_and_seed(previews):
    path, preview, image = previews
    sample = maps.read_sample(path, "p0", 1)
    np.testing.assert_array_equal(sample["preview"], preview[1])
    np.testing.assert_array_equal(maps.final_picture(sample), image[1])
    assert maps.final_picture(sample).dims == ("y", "x", "rgb")
    with pytest.raises(ValueError, match="not enough values"):
        maps.read_sample(path, "p1", 1)


def test_numbers_of_steps_lie_beside_maps_and_are_none(tmp_path):
    tree = synthetic.trace(samples=1, steps=2)
    tree.attrs["digest"] = "key"
    path, size = str(tmp_path / "rise.zarr"), tree["latent/value"].shape[-2:]
    map_ = xr.DataArray(np.zeros((1, 2, *size)), dims=("sample", "step", "y", "x"))
    drawn = xr.DataArray([[60.0, np.nan]], dims=("sample", "step"))
    maps.write_maps(path, {"rise": map_, "rise_se": map_, "rise_masks": drawn}, tree, {})
    assert [*maps.read_maps(path)] == ["rise"]
    assert [*maps.read_errors(path)] == ["rise"]
    stored = maps.open_dataset(path)["rise_masks"]
    np.testing.assert_array_equal(stored, drawn)
    assert stored.attrs["long_name"] == "rise masks of the step"


def test_maps_of_two_methods_never_have_one_name(tmp_path):
    tree = synthetic.trace(samples=1, steps=2)
    tree.attrs["digest"] = "key"
    size = tree["latent/value"].shape[-2:]

    def store(*names):
        path = str(tmp_path / f"{names[0]}.zarr")
        values = xr.DataArray(np.zeros((1, 2, *size)), dims=("sample", "step", "y", "x"))
        maps.write_maps(path, dict.fromkeys(names, values), tree, {})
        return path

    rise = store("rise", "rise_se", "rise_paper")
    assert [*maps.read_methods([rise, store("cam")], ("random",))] == ["rise", "rise_paper", "cam"]
    for paths, beside in (([rise, store("rise_paper")], ()), ([rise], ("rise",))):
        with pytest.raises(ValueError, match=r"\.zarr: a map is called rise"):
            maps.read_methods(paths, beside)
