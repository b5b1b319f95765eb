"""A folder that cannot be loaded is refused by name, before any model loads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from stepscope.models import folders, pipelines
from support import tiny
from support.workflow import ROOT


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Folder of a tiny pipeline of two text encoders."""
    folder = tmp_path_factory.mktemp("pipelines") / "xl"
    tiny.tiny_xl(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "xl"))


def shard(folder: Path) -> Path:
    """Split the U-Net's weights into two files and an index; returns the second file."""
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = sorted(load_file(whole).items())
    names = [f"diffusion_pytorch_model-{number:05}-of-00002.safetensors" for number in (1, 2)]
    halves = [dict(weights[: len(weights) // 2]), dict(weights[len(weights) // 2 :])]
    for name, half in zip(names, halves, strict=True):
        save_file(half, folder / "unet" / name, metadata={"format": "pt"})
    index = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    told = {"metadata": {}, "weight_map": index}
    (folder / "unet" / f"{whole.name}.index.json").write_text(json.dumps(told))
    whole.unlink()
    return folder / "unet" / names[1]


def test_every_file_that_is_read_is_listed(folder):
    names = {path.relative_to(folder).as_posix() for path in folders.check_folder(folder)}
    assert names == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer_2/tokenizer.json",
        "text_encoder/config.json",
        "text_encoder_2/model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"^{folder / name} is missing\.$"):
        folders.check_folder(folder)


def test_a_missing_shard_is_named(folder):
    second = shard(folder)
    assert second in folders.check_folder(folder)
    second.unlink()
    with pytest.raises(ValueError, match=rf"^{second} is missing\.$"):
        folders.check_folder(folder)


def test_weights_that_are_cut_off_are_named(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"^{path} is no complete safetensors file \("):
        folders.check_folder(folder)


@pytest.mark.parametrize(
    ("name", "pickle"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
        ("text_encoder/model.safetensors", "pytorch_model.bin"),
        ("vae/diffusion_pytorch_model.safetensors", "vae.ckpt"),
    ],
)
def test_a_pickle_in_the_place_of_safetensors_is_named(folder, name, pickle):
    (folder / name).unlink()
    path = (folder / name).with_name(pickle)
    torch.save({}, path)
    with pytest.raises(ValueError, match=rf"^{path} is a pickle, .*{Path(name).name}.* missing\.$"):
        folders.check_folder(folder)


def test_a_pickle_called_safetensors_is_refused(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=rf"^{path} is no complete safetensors file"):
        folders.check_folder(folder)


@pytest.mark.parametrize("kind", ["NoSuchPipeline", "StableDiffusionInpaintPipeline", None])
def test_an_unknown_pipeline_class_is_named(folder, kind):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": kind}))
    with pytest.raises(ValueError, match=rf"^{path}: {kind}: no family of models covers"):
        pipelines.load({"folder": str(folder)})


def test_an_index_that_is_no_json_is_named(folder):
    path = folder / "model_index.json"
    path.write_text('{"_class_name": ')
    with pytest.raises(ValueError, match=rf"^{path} is no JSON file"):
        folders.check_folder(folder)


def test_a_variant_may_be_of_some_parts_but_not_of_none(folder):
    with pytest.raises(ValueError, match=r"^variant: .* has no weights of the variant fp16\.$"):
        folders.check_folder(folder, "fp16")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert path.with_name("diffusion_pytorch_model.fp16.safetensors") in folders.check_folder(
        folder, "fp16"
    )
    with pytest.raises(ValueError, match="is missing"):
        folders.check_folder(folder)


def test_weights_are_counted_from_their_headers(saved):
    own = tiny.tiny_xl()
    parts = [own.unet, own.vae, own.text_encoder, own.text_encoder_2]
    expected = sum(weight.numel() for part in parts for weight in part.parameters())
    assert folders.parameters(folders.check_folder(saved)) == expected


def test_the_check_needs_no_torch(saved):
    script = (
        "import sys; from stepscope.models.folders import check_folder; "
        f"check_folder({str(saved)!r}); "
        "print(sorted({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT / "workflow" / "src")},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr
