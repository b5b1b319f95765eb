"""Stores: what is read back from disk is what was traced, and maps keep their coordinates."""

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from stepscope.diffusion.denoiser import Denoiser
from stepscope.models import pipelines
from stepscope.store.maps import read_errors, read_maps, write_maps
from stepscope.store.traces import open_trace, read_step, read_steps
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.generate import generate, memory
from stepscope.tracing.trace import steps_of
from support import tiny

PROMPTS = [
    {"prompt_id": "cat", "prompt": "a red cat", "seeds": [3, 5], "roles": {"subject": "cat"}},
    {"prompt_id": "two", "prompt": "a dog above a blue fish", "seeds": [0], "roles": {}},
]
STUDY = {
    "sampling": {"kind": "uniform", "steps": 3},
    "scheduler": {"name": "dpmsolver++", "order": 1},
    "guidance": 4.0,
    "negative_prompt": "",
    "height": None,
    "width": None,
    "storage": {"forward_batch": 2, "derived": "float16", "attention": "mean"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a tiny pipeline and a trace store made with it by the job's own function."""
    folder = tmp_path_factory.mktemp("store")
    tiny.tiny_sd1(folder / "pipeline")
    model = {"folder": str(folder / "pipeline"), "dtype": "float32", "fingerprint": "x"}
    path = folder / "traces" / "0.zarr"
    generate(
        str(path),
        partial=str(folder / "partial"),
        model=model,
        study=STUDY,
        prompts=PROMPTS,
        code="c",
    )
    return model, path


def test_steps_from_disk_equal_steps_from_memory(made):
    model, path = made
    pipeline = pipelines.load(model)
    settings = {name: STUDY[name] for name in STUDY if name != "storage"}
    batch = [(PROMPTS[0], 3), (PROMPTS[0], 5)]
    trace = trace_prompts(
        pipeline,
        [record["prompt"] for record, _ in batch],
        [seed for _, seed in batch],
        roles=[record["roles"] for record, _ in batch],
        **settings,
    )
    tree = open_trace(str(path))
    for sample in (0, 1):
        for stored, kept in zip(read_steps(tree, sample), steps_of(trace, sample), strict=True):
            assert stored.number == kept.number
            assert stored.timestep == kept.timestep
            assert stored.log_snr == kept.log_snr
            assert stored.words == kept.words
            for name in ("latent", "after", "outputs"):
                assert torch.equal(getattr(stored, name), getattr(kept, name)), name
            for name, tensor in kept.conditioning.items():
                assert torch.equal(stored.conditioning[name], tensor)
            torch.testing.assert_close(stored.denoised, kept.denoised, atol=2e-3, rtol=2e-3)


def test_stored_step_replays(made):
    model, path = made
    tree = open_trace(str(path))
    denoiser = Denoiser(
        pipelines.load(model),
        sampling=STUDY["sampling"],
        scheduler=STUDY["scheduler"],
        guidance=STUDY["guidance"],
    )
    step = read_step(tree, 2, 2)
    with torch.inference_mode():
        outputs = denoiser.outputs(step.latent[None], step)
        torch.testing.assert_close(outputs[0], step.outputs, atol=1e-5, rtol=1e-5)
        after = denoiser.advance(step.latent[None], denoiser.guided(step.outputs[None]), step)
        torch.testing.assert_close(after[0], step.after, atol=1e-5, rtol=1e-5)


def test_store_says_what_it_was_made_from(made):
    attrs = open_trace(str(made[1])).attrs
    assert attrs["forward_batches"] == [2, 1]
    assert attrs["code"] == "c"
    assert attrs["sampling"] == STUDY["sampling"]
    assert attrs["versions"].keys() >= {"torch", "diffusers"}
    assert "folder" not in attrs["model"]


def test_pixels_of_attention_sum_to_one(made):
    tree = open_trace(str(made[1]))
    total = np.nansum(tree["attn_16x16/value"].values.astype("f4"), axis=2)
    np.testing.assert_allclose(total, 1, atol=5e-3)


def test_an_inverted_picture_is_stored_with_its_reconstruction_error(made, tmp_path):
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "blue.png")
    prompts = [PROMPTS[0] | {"seeds": [0], "image": str(tmp_path / "blue.png")}]
    path = str(tmp_path / "0.zarr")
    generate(
        path,
        partial=str(tmp_path / "partial"),
        model=made[0],
        study=STUDY | {"trace": "invert"},
        prompts=prompts,
        code="c",
    )
    tree = open_trace(path)
    assert tree.attrs["trace"] == "invert"
    assert tree["reconstruction_error"].shape == (1,)
    assert np.isfinite(tree["reconstruction_error"]).all()


def test_too_long_prompt_is_refused_by_the_tokenizer(made, tmp_path):
    model = made[0] | {"folder": str(tmp_path)}
    tiny.tiny_sd1(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    long = [PROMPTS[0] | {"prompt": "a cat " * 30}]
    with pytest.raises(ValueError, match="prompt_id cat: .* takes 24"):
        generate(
            str(tmp_path / "t.zarr"),
            partial=str(tmp_path / "partial"),
            model=model,
            study=STUDY,
            prompts=long,
            code="c",
        )


def test_maps_keep_coordinates_and_errors_apart(made, tmp_path):
    tree = open_trace(str(made[1]))
    shape = (3, 3, 6, 16, 16)
    values = np.random.default_rng(0).random(shape)
    axes = ("sample", "step", "word", "y", "x")
    maps = {
        "mine": xr.DataArray(values, dims=axes),
        "mine_se": xr.DataArray(values / 10, dims=axes),
        "plain": xr.DataArray(values[:, :, 0], dims=("sample", "step", "y", "x")),
    }
    write_maps(str(tmp_path / "m.zarr"), maps, tree, {"target": "nothing"})
    read = read_maps(str(tmp_path / "m.zarr"))
    assert set(read) == {"mine", "plain"}
    assert set(read_errors(str(tmp_path / "m.zarr"))) == {"mine"}
    assert read["mine"].dtype == np.float32
    np.testing.assert_allclose(read["mine"], values, rtol=1e-6)
    assert list(read["plain"]["prompt_id"].values) == ["cat", "cat", "two"]
    assert read["mine"]["word_role"].values[0].tolist() == ["", "", "subject", "", "", ""]
    np.testing.assert_array_equal(read["mine"]["log_snr"], tree["log_snr"])


def contents(path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != "zarr.json"
    }


def test_a_batch_that_does_not_fit_is_split_without_losing_any(made, tmp_path, monkeypatch):
    """A network with memory for two samples makes the store that forward batches of two make."""
    model, path = made
    pipeline, rows = pipelines.load(model), []

    def refuse(unet, args, kwargs):
        rows.append(len(args[0]))
        if rows[-1] > 2 * 2:  # both guidance halves
            raise torch.OutOfMemoryError("CUDA out of memory.")

    pipeline.unet.register_forward_pre_hook(refuse, with_kwargs=True)
    monkeypatch.setattr(pipelines, "load", lambda spec: pipeline)
    split = tmp_path / "split.zarr"
    generate(
        str(split),
        partial=str(tmp_path / "partial"),
        model=model,
        study=STUDY | {"storage": STUDY["storage"] | {"forward_batch": 3}},
        prompts=PROMPTS,
        code="c",
    )
    assert rows == [6, 4, 4, 4, 2, 2, 2]  # one attempt that failed, then both pieces
    assert open_trace(str(split)).attrs["forward_batches"] == [2, 1]
    assert "split" not in open_trace(str(split)).attrs
    assert contents(split) == contents(path)


def test_auto_records_the_size_that_was_chosen_and_takes_it_again(made, tmp_path, monkeypatch):
    model, path = made
    for name, size in {"auto.zarr": 2, "again.zarr": 3}.items():
        monkeypatch.setattr(memory, "fitting_size", lambda one, device, size=size: size)
        generate(
            str(tmp_path / name),
            partial=str(tmp_path / "partial"),
            model=model,
            study=STUDY | {"storage": STUDY["storage"] | {"forward_batch": "auto"}},
            prompts=PROMPTS,
            code="c",
        )
        assert open_trace(str(tmp_path / name)).attrs["forward_batches"] == [2, 1]
        assert contents(tmp_path / name) == contents(path)
