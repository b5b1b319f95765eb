"""Whatever is missing or damaged in a store is refused when it is read, by the name of its file."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from stepscope.store import maps, parts, traces
from support import synthetic

WORDS = len(synthetic.PROMPT)


def trace(path: str) -> None:
    parts.write_in_parts(path, f"{path}.partial", "key", ["0", "1"], synthetic.forward_batch)


def previews(path: str) -> None:
    preview = np.zeros((2, 4, 3, 5, 6, 3), "u1")  # the fill value alone
    maps.write_previews(path, preview, preview[:, 0, 0], ["a", "b", "c"], made_from(), {})


def masks(path: str) -> None:
    nothing = np.full((2, WORDS, 8, 8), np.nan)
    maps.write_masks(path, nothing, made_from(), {"ground": "none"})


def saliency(path: str) -> None:
    values = xr.DataArray(np.ones((2, 4, WORDS, 8, 8)), dims=("sample", "step", "word", "y", "x"))
    maps.write_maps(path, {"mine": values, "mine_se": values}, made_from(), {"code": "c"})


def made_from() -> xr.DataTree:
    tree = synthetic.trace()
    tree.attrs["digest"] = "key"
    return tree


KINDS = {
    "traces": (trace, traces.open_trace),
    "maps": (saliency, maps.open_dataset),
    "masks": (masks, maps.open_dataset),
    "previews": (previews, maps.open_dataset),
}


@pytest.fixture(scope="module", params=KINDS)
def store(request, tmp_path_factory):
    """A store of each kind, and what reads it."""
    write, read = KINDS[request.param]
    path = tmp_path_factory.mktemp("damage") / "s.zarr"
    write(str(path))
    return path, read


def deleted(file: Path) -> None:
    file.unlink()


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:3])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [deleted, truncated, flipped])
def test_every_array_of_every_store_is_refused_by_its_file(store, damage):
    path, read = store
    opened = read(str(path))
    last = {file.parent: file for file in sorted(path.rglob("c.*"))}  # the last chunk of each array
    assert len(last) > 5
    for array, file in last.items():
        whole, name = file.read_bytes(), array.relative_to(path).as_posix()
        damage(file)
        with pytest.raises(ValueError, match=rf"{file}: this file is (missing|damaged)"):
            read(str(path)) if name in opened.indexes else opened[name].variable.load()
        file.write_bytes(whole)
    read(str(path)).load()


def test_a_store_is_read_by_its_url_with_the_same_refusals(store):
    path, read = store
    xr.testing.assert_identical(read(path.as_uri()).load(), read(str(path)).load())
    file = max(path.rglob("c.1*"))
    name, whole = file.parent.relative_to(path).as_posix(), file.read_bytes()
    flipped(file)
    with pytest.raises(ValueError, match=rf"{file.as_uri()}: this file is damaged"):
        read(path.as_uri())[name].variable.load()
    file.write_bytes(whole)
    with pytest.raises(ValueError, match=r"file:///\S+/none: there is no store here"):
        read(path.with_name("none").as_uri())


@pytest.mark.parametrize("damage", [deleted, truncated, flipped])
def test_damaged_metadata_are_refused_when_the_store_is_opened(store, damage):
    path, read = store
    file = path / "zarr.json"
    whole = file.read_bytes()
    damage(file)
    with pytest.raises(
        ValueError, match=rf"{file}: this file is damaged|{path}: there is no store"
    ):
        read(str(path))
    file.write_bytes(whole)


def test_a_store_of_another_version_is_refused_whatever_that_checks(store):
    path, read = store
    file = path / "zarr.json"
    whole = file.read_text()
    metadata = json.loads(whole)
    assert metadata["attributes"]["schema_version"] == 1
    metadata["attributes"] |= {"schema_version": 2, "metadata_sha256": "of another kind"}
    file.write_text(json.dumps(metadata))
    with pytest.raises(
        ValueError, match=f"{path}: another version of .* schema_version 2, .* reads 1"
    ):
        read(str(path))
    file.write_text(whole)
    read(str(path))


def test_a_changed_attribute_is_refused(store):
    path, read = store
    file = path / "zarr.json"
    whole = file.read_text()
    file.write_text(whole.replace('"key"', '"kez"', 1))
    with pytest.raises(ValueError, match="zarr.json: this file is damaged"):
        read(str(path))
    file.write_text(whole)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("read", [traces.open_trace, maps.open_dataset])
def test_what_is_no_store_of_the_workflow_is_refused(tmp_path, read):
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "file.zarr").write_text("mine")
    foreign = xr.Dataset({"a": ("x", [1.0])})
    foreign.to_zarr(tmp_path / "foreign.zarr", zarr_format=3, consolidated=True)
    zarr.open_group(tmp_path / "torn.zarr", mode="w").create_array("latent", shape=2, dtype="f4")
    with pytest.raises(ValueError, match="torn.zarr: whoever wrote this store did not finish it"):
        read(str(tmp_path / "torn.zarr"))
    for name in ("folder", "file", "absent"):
        with pytest.raises(ValueError, match=f"{name}.zarr: there is no store here"):
            read(str(tmp_path / f"{name}.zarr"))
    with pytest.raises(ValueError, match="foreign.zarr: this is a zarr store, but not one of"):
        read(str(tmp_path / "foreign.zarr"))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_a_store_from_before_there_were_checksums_is_read_as_it_is(tmp_path):
    old = xr.Dataset({"mask": ("sample", np.zeros(2, "f4"))}, attrs={"trace": "key"})
    old.to_zarr(tmp_path / "old.zarr", zarr_format=3, consolidated=True)
    assert maps.open_masks(str(tmp_path / "old.zarr")).values.tolist() == [0, 0]


def test_plain_xarray_sees_damage_too(store):
    path, _ = store
    file = max(path.rglob("c.1*"))
    whole = file.read_bytes()
    flipped(file)
    with pytest.raises(ValueError, match="checksum"):
        xr.open_datatree(path, engine="zarr", chunks=None).load()
    file.write_bytes(whole)


def test_every_variable_says_its_unit_and_what_it_is(store):
    path, read = store
    opened = read(str(path))
    groups = opened.subtree if isinstance(opened, xr.DataTree) else [opened]
    variables = [variable for group in groups for variable in group.data_vars.values()]
    assert variables
    for variable in variables:
        assert variable.attrs["units"] == "1"
        assert variable.attrs["long_name"]
