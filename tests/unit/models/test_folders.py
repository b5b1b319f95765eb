"""A folder that cannot be loaded is refused by name, before any model loads."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from stepscope.models import folders, pipelines, weight_files
from support import tiny
from support.workflow import ROOT

HEAVY = ("torch", "diffusers", "transformers", "safetensors", "huggingface_hub", "numpy")
JSON = {  # files of a pipeline that are JSON, and what may be in their place
    "[]": "is no JSON object",
    "{": "is no JSON file",
    "[" * 100_000: "is no JSON file of a model (it is nested too deeply)",
    "\ud800": "is no text in UTF-8",
}


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


@pytest.mark.parametrize("shard_name", ["../unet/x.safetensors", "a/b", 3, None])
def test_a_shard_lies_beside_its_index(folder, shard_name):
    index = shard(folder).with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"conv_in.bias": shard_name}}))
    with pytest.raises(ValueError, match=rf"^{index}: weight_map does not name a file beside it"):
        folders.check_folder(folder)


def test_a_shard_without_a_tensor_of_its_index_is_named(folder):
    second = shard(folder)
    held = load_file(second)
    lost = sorted(held)[0]
    save_file({name: held[name] for name in held if name != lost}, second)
    with pytest.raises(ValueError, match=rf"^{second} has no {lost}, which .*index.json names\.$"):
        folders.check_folder(folder)


def test_weights_that_are_cut_off_are_named(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    for torn in (whole[:-100], whole[:500], whole[:5], b"", whole + b"x", whole[:9] + whole[10:]):
        path.write_bytes(torn)
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
    with pytest.raises(
        ValueError, match=rf"^{path} is a pickle, .*{Path(name).name}.* is missing: save_pre"
    ):
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


@pytest.mark.parametrize("text", JSON)
@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer_2/tokenizer.json",
    ],
)
def test_what_is_no_json_object_is_named(folder, name, text):
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{folder / name} {JSON[text]}')}"):
        folders.check_folder(folder)


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("../../x", ["diffusers", "UNet2DConditionModel"], "'../../x' is no name of a part"),
        ("x\0", ["diffusers", "UNet2DConditionModel"], r"'x\x00' is no name of a part"),
        ("", ["diffusers", "UNet2DConditionModel"], "'' is no name of a part"),
        ("unet", [1, 2], "unet: [1, 2] is no library and class of a part"),
        ("unet", ["diffusers"], "unet: ['diffusers'] is no library and class of a part"),
        ("vae", [None, "AutoencoderKL"], "vae: [None, 'AutoencoderKL'] is no library and class"),
    ],
)
def test_parts_that_are_none_are_named(folder, name, part, message):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: part}))
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}"):
        folders.check_folder(folder)


def test_a_variant_may_be_of_some_parts_but_not_of_none(folder):
    with pytest.raises(ValueError, match=r"^variant: .* has no weights of the variant fp16\.$"):
        folders.check_folder(folder, "fp16")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert path.with_name("diffusion_pytorch_model.fp16.safetensors") in folders.check_folder(
        folder, "fp16"
    )
    for given in (None, "bf16"):
        with pytest.raises(ValueError, match=rf"^{path} is missing, .*: set variant: fp16\.$"):
            folders.check_folder(folder, given)


def test_a_variant_in_shards_is_hinted_at_too(folder):
    shard(folder)
    for path in list((folder / "unet").glob("diff*")):
        stem, dot, rest = path.name.partition("-")
        path.rename(path.with_name(f"{stem}.fp16{dot}{rest}" if dot else path.name))
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.rename(index.with_name("diffusion_pytorch_model.safetensors.index.fp16.json"))
    with pytest.raises(ValueError, match=r"safetensors is missing, .*: set variant: fp16\.$"):
        folders.check_folder(folder)


def test_weights_are_counted_from_their_headers(saved):
    own = tiny.tiny_xl()
    parts = [own.unet, own.vae, own.text_encoder, own.text_encoder_2]
    expected = sum(weight.numel() for part in parts for weight in part.parameters())
    assert weight_files.parameters(folders.check_folder(saved)) == expected


def test_the_check_needs_the_standard_library_alone(saved):
    script = (
        "import sys; from stepscope.models import checks; "
        f"checks.folders.check_folder({str(saved)!r}); "
        f"print(sorted({set(HEAVY)!r} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT / "workflow" / "src")},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr
