"""Trace stores from forward batches: resumed, torn ones made again, holes refused."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from stepscope.store import parts, traces
from support.synthetic import SIZE, STEPS, forward_batch

NAMES = ["0+2", "2+2", "4+2"]


def contents(store: Path) -> dict[str, bytes]:
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


def write(folder: Path, made=None) -> Path:
    def make(index):
        if made is not None:
            made.append(index)
        return forward_batch(index)

    store = folder / "a" / "t.zarr"
    parts.write_in_parts(str(store), str(folder / "partial"), "key", NAMES, make)
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of an uninterrupted run."""
    return write(tmp_path_factory.mktemp("whole"))


def test_store_is_complete_and_padded(whole):
    tree = traces.open_trace(str(whole))
    assert tree["attn_4x4/value"].shape == (6, STEPS, 6, SIZE, SIZE)
    assert np.isnan(tree["attn_4x4/value"].values[0, :, 4:]).all()
    np.testing.assert_array_equal(tree["latent/value"][2:4], forward_batch(1)[0]["latent/value"])
    assert tree["latent/value"].dims == ("sample", "state", "channel", "y", "x")
    assert tree["conditioning/prompt_embeds"].dims[:2] == ("sample", "half")
    assert list(tree["prompt_id"].values) == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    assert tree["token_count"].values.tolist() == [4, 4, 5, 5, 6, 6]
    assert tree.attrs["forward_batches"] == [2, 2, 2]


def test_halves_are_taken_by_name(whole):
    tree = traces.open_trace(str(whole))
    for name in ("output/value", "conditioning/prompt_embeds"):
        stored = forward_batch(0)[0][name]
        axis = 2 if name.startswith("output") else 1
        for index, half in enumerate(("uncond", "cond")):
            np.testing.assert_array_equal(
                tree[name].sel(half=half)[:2], stored.take(index, axis), err_msg=name
            )


def test_memory_and_open_files_do_not_grow_with_the_samples(tmp_path, monkeypatch):
    """A store of 256 samples takes what one of 32 does, in forward batches of 8."""

    def make(index):
        made, attrs = forward_batch(0)
        rows = {name: of for name, of in made.items() if "/" not in name}
        latents = np.random.default_rng(index).normal(size=(8, STEPS + 1, 4, 32, 32)).astype("f4")
        listed = {name: of * 4 for name, of in attrs.items() if isinstance(of, list)}
        return rows | {"latent/value": latents}, attrs | listed

    opened, load, peaks = [], np.load, []
    monkeypatch.setattr(np, "load", lambda path: opened.append(load(path)) or opened[-1])
    for batches in (4, 32):
        names = [f"{8 * index}+8" for index in range(batches)]
        folder = tmp_path / str(batches)
        tracemalloc.start()
        parts.write_in_parts(str(folder / "t.zarr"), str(folder / "partial"), "key", names, make)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert traces.open_trace(str(folder / "t.zarr")).sizes["sample"] == 256
    assert peaks[1] < peaks[0] + 256 * 2**11  # names and words of the samples
    assert all(part.zip is None for part in opened)  # as they are when closed


def torn(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-200])


def flipped(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def emptied(part: Path) -> None:
    part.write_bytes(b"")


@pytest.mark.parametrize("damage", [None, torn, flipped, emptied])
def test_finished_parts_are_used_again_and_damaged_ones_made_again(tmp_path, whole, damage, capsys):
    part = tmp_path / "partial" / f"key.{NAMES[1]}.npz"
    parts.save_part(part, *forward_batch(1))
    if damage:
        damage(part)
    made = []
    assert contents(write(tmp_path, made)) == contents(whole)
    assert made == ([0, 1, 2] if damage else [0, 2])
    assert (f"{part} is damaged; it is made again." in capsys.readouterr().out) == bool(damage)


@pytest.mark.parametrize("name", ["latent/value", "attn_4x4/value"])
def test_a_hole_is_refused(tmp_path, name):
    def holed(index):
        arrays, attrs = forward_batch(index)
        arrays[name][1, 0, 0] = np.nan
        return arrays, attrs

    with pytest.raises(ValueError, match=f"{name} of sample 1 has missing"):
        parts.write_in_parts(str(tmp_path / "t.zarr"), str(tmp_path / "p"), "key", ["0"], holed)


def test_missing_unconditional_half_is_no_hole(tmp_path):
    def unguided(index):
        arrays, attrs = forward_batch(index)
        arrays["output/value"][:, :, 0] = np.nan
        return arrays, attrs | {"guidance": 1.0}

    parts.write_in_parts(str(tmp_path / "t.zarr"), str(tmp_path / "p"), "key", ["0"], unguided)
