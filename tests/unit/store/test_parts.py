"""The writing protocol on made-up arrays: resume, lock, one rename, holes refused."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from stepscope.store import parts

STEPS, SIZE = 3, 4


def make(index: int) -> tuple[dict, dict]:
    """Two samples of a forward batch; the second batch has longer prompts."""
    rng = np.random.default_rng(index)
    tokens = 4 + index
    normal = {
        "latent/value": rng.normal(size=(2, STEPS + 1, 4, SIZE, SIZE)).astype("f4"),
        "output/value": rng.normal(size=(2, STEPS, 2, 4, SIZE, SIZE)).astype("f4"),
        "denoised/value": rng.normal(size=(2, STEPS, 4, SIZE, SIZE)).astype("f2"),
        "attn_4x4/value": rng.random(size=(2, STEPS, tokens, SIZE, SIZE)).astype("f2"),
        "conditioning/prompt_embeds": rng.normal(size=(2, 2, 8, 6)).astype("f4"),
        "timesteps": np.arange(STEPS, 0, -1.0),
        "sigmas": np.arange(STEPS + 1, 0, -1.0),
        "log_snr": np.arange(STEPS, dtype=float),
    }
    names = [f"{index}-{row}" for row in range(2)]
    return normal, {
        "prompts": names,
        "prompt_ids": names,
        "seeds": [0, 1],
        "words": [[], []],
        "token_text": [["t"] * tokens] * 2,
        "guidance": 4.0,
    }


def contents(store: Path) -> dict[str, bytes]:
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


def write(folder: Path, made=None, key="key", count=3, delay=0.0) -> Path:
    def make_one(index):
        time.sleep(delay)
        if made is not None:
            made.append(index)
        return make(index)

    store = folder / "a" / "t.zarr"
    parts.write_in_parts(str(store), str(folder / ".partial"), key, count, make_one)
    return store


def test_store_is_complete_padded_and_alone(tmp_path):
    store = write(tmp_path)
    tree = xr.open_datatree(store, engine="zarr", consolidated=True, chunks=None)
    assert tree["attn_4x4/value"].shape == (6, STEPS, 6, SIZE, SIZE)
    assert np.isnan(tree["attn_4x4/value"].values[0, :, 4:]).all()
    np.testing.assert_array_equal(tree["latent/value"][2:4], make(1)[0]["latent/value"])
    assert tree["latent/value"].dims == ("sample", "state", "channel", "y", "x")
    assert tree["conditioning/prompt_embeds"].dims[:2] == ("sample", "half")
    assert list(tree["prompt_id"].values) == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    assert tree["token_count"].values.tolist() == [4, 4, 5, 5, 6, 6]
    assert tree.attrs["forward_batches"] == [2, 2, 2]
    assert [path.suffix for path in (tmp_path / ".partial").iterdir()] == [".lock"]


def test_finished_parts_are_used_again(tmp_path):
    whole = contents(write(tmp_path / "whole"))
    partial = tmp_path / "resumed" / ".partial"
    partial.mkdir(parents=True)
    parts.save_part(partial / "key.1.npz", *make(1))
    made = []
    store = write(tmp_path / "resumed", made)
    assert made == [0, 2]
    assert contents(store) == whole


def test_complete_store_of_the_same_digest_is_kept_and_another_replaced(tmp_path):
    write(tmp_path)
    made = []
    write(tmp_path, made)
    assert made == []
    write(tmp_path, made, key="other")
    assert made == [0, 1, 2]


def test_killed_and_orphaned(tmp_path):
    """SIGKILL, then a job beside one that still runs: one waits, both end, no part made twice."""
    context = multiprocessing.get_context("fork")
    killed = context.Process(target=write, args=(tmp_path, None, "key", 3, 0.3))
    killed.start()
    while not (tmp_path / ".partial" / "key.0.npz").exists():
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert not (tmp_path / "a").exists()
    orphan = context.Process(target=write, args=(tmp_path, None, "key", 3, 0.3))
    orphan.start()
    time.sleep(0.2)
    made = []
    store = write(tmp_path, made)
    orphan.join()
    assert orphan.exitcode == 0
    assert made == []
    assert contents(store) == contents(write(tmp_path / "whole"))


@pytest.mark.parametrize("name", ["latent/value", "attn_4x4/value"])
def test_a_hole_is_refused(tmp_path, name):
    def holed(index):
        arrays, attrs = make(index)
        arrays[name][1, 0, 0] = np.nan
        return arrays, attrs

    with pytest.raises(ValueError, match=f"{name} of sample 1 has missing"):
        parts.write_in_parts(str(tmp_path / "t.zarr"), str(tmp_path / "p"), "key", 1, holed)
    assert not (tmp_path / "t.zarr").exists()


def test_missing_unconditional_half_is_no_hole(tmp_path):
    def unguided(index):
        arrays, attrs = make(index)
        arrays["output/value"][:, :, 0] = np.nan
        return arrays, attrs | {"guidance": 1.0}

    parts.write_in_parts(str(tmp_path / "t.zarr"), str(tmp_path / "p"), "key", 1, unguided)


def test_torn_store_is_refused(tmp_path):
    store = write(tmp_path)
    text = (store / "zarr.json").read_text()
    assert "consolidated_metadata" in text
    group = zarr.open_group(tmp_path / "torn.zarr", mode="w")
    group.create_array("latent", shape=(2,), dtype="f4")
    with pytest.raises(ValueError, match="[Cc]onsolidated"):
        xr.open_datatree(tmp_path / "torn.zarr", engine="zarr", consolidated=True, chunks=None)
    assert not parts.is_complete(tmp_path / "torn.zarr", "key")
