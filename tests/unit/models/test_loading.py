"""Every part of a model has exactly the weights of its files, or is refused by name."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, CLIPTextModel, T5EncoderModel

from stepscope.models import judges, pipelines
from stepscope.models.loading import load_part, naming
from support import tiny, tiny_judges

UNET = "sd1/unet/diffusion_pytorch_model.safetensors"
VAE = "sd1/vae/diffusion_pytorch_model.safetensors"
TEXT = "sd1/text_encoder/model.safetensors"
SEGMENTER = "segmenter/model.safetensors"
CLIPSEG = "text_segmenter/model.safetensors"
CLIP = "clip/open_clip_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Folder of a tiny pipeline, a T5 and every kind of judge."""
    folder = tmp_path_factory.mktemp("saved")
    tiny.tiny_sd1(folder / "sd1")
    tiny.tiny_pixart().text_encoder.save_pretrained(folder / "t5")
    tiny_judges.tiny_clip(folder / "clip")
    tiny_judges.tiny_segmenter(folder / "segmenter")
    tiny_judges.tiny_text_segmenter(folder / "text_segmenter")
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "saved"))


def load(file: Path) -> torch.nn.Module:
    """What the package makes of the folder of a file of weights."""
    match file.parent.name:
        case "unet":
            return load_part(UNet2DConditionModel, file.parent)
        case "vae":
            return load_part(AutoencoderKL, file.parent)
        case "text_encoder":
            return load_part(CLIPTextModel, file.parent)
        case "t5":
            return load_part(T5EncoderModel, file.parent)
        case "segmenter":
            return judges.load_segmenter({"folder": str(file.parent)})[0]
        case "text_segmenter":
            return judges.load_text_segmenter({"folder": str(file.parent)})[0]
        case _:
            return judges.load_clip({"folder": str(file.parent)})[0]


def rewrite(file: Path, change) -> None:
    """Write what a function makes of the tensors of a file."""
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def configure(file: Path, path: str, value: object) -> None:
    """Set a key of the configuration beside a file of weights."""
    name = "open_clip_config.json" if file.parent.name == "clip" else "config.json"
    content = json.loads((file.parent / name).read_text())
    *outer, last = path.split("/")
    entry = content
    for key in outer:
        entry = entry[key]
    entry[last] = value
    (file.parent / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        (UNET, "down_blocks.0.resnets.0.conv1.bias"),
        (VAE, "decoder.conv_in.weight"),
        (TEXT, "encoder.layers.1.mlp.fc1.bias"),
        (SEGMENTER, "decode_head.batch_norm.running_var"),
        (CLIPSEG, "decoder.reduces.0.weight"),
        (CLIP, "ln_final.bias"),
    ],
)
def test_a_tensor_that_is_missing_or_foreign_is_named(folder, name, tensor):
    file, held = folder / name, load_file(folder / name)
    tensor = next(key for key in held if key.endswith(tensor))  # some save a prefix before it
    rest = {key: value for key, value in held.items() if key != tensor}
    rewrite(file, lambda _: rest)
    named = rf"^{file} .*[Mm]issing.*{tensor.removeprefix('text_model.')}"
    with pytest.raises(ValueError, match=named):
        load(file)
    rewrite(file, lambda _: held | {"of.another": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match=rf"^{file} .*([Uu]nexpected|not expected).*of\.another"):
        load(file)
    rewrite(file, lambda _: held)
    state = load(file).state_dict()
    assert len(state) >= len(held)
    found = next(value for key, value in state.items() if tensor.endswith(key))
    assert np.array_equal(found.cpu().numpy(), held[tensor])


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        (UNET, "layers_per_block", 2, r"missing \(down_blocks\.0\..*, \.\.\.\)"),
        (UNET, "mid_block_type", None, r"not expected \(mid_block\.attentions\.0"),
        (UNET, "block_out_channels", [8, 24], r"of another shape \(.* is \(16,\), not \(24,\)"),
        (VAE, "layers_per_block", 2, r"missing \(decoder"),
        (TEXT, "num_hidden_layers", 3, r"16 missing \(.*layers\.2\.layer_norm1\.bias"),
        (TEXT, "num_hidden_layers", 1, r"16 not expected \(.*layers\.1\.layer_norm1\.bias"),
        (TEXT, "intermediate_size", 80, r"of another shape \(.* is \(64,\), not \(80,\)"),
        (SEGMENTER, "depths", [1, 1, 1, 2], r"missing \("),
        (CLIPSEG, "reduce_dim", 8, r"of another shape \("),
        (CLIP, "model_cfg/vision_cfg/layers", 2, r"Missing key.*resblocks\.1\.ln_1\.weight"),
        # the library would interpolate positions, and put zeros in the place of a bias
        (CLIP, "model_cfg/vision_cfg/image_size", 96, r"\(17, 32\), not \(37, 32\)"),
        (CLIP, "model_cfg/init_logit_bias", -10, r"1 missing \(logit_bias\)"),
    ],
)
def test_weights_of_another_configuration_are_refused(folder, name, key, value, message):
    configure(folder / name, key, value)
    with pytest.raises(ValueError, match=rf"^{folder / name} .*{message}"):
        load(folder / name)


@pytest.mark.parametrize("name", [UNET, VAE, TEXT, SEGMENTER, CLIPSEG, CLIP])
def test_weights_that_are_torn_missing_or_a_pickle_are_refused(folder, name):
    file = folder / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=rf"^{file} is no complete safetensors file \("):
        load(file)
    file.unlink()
    with pytest.raises(ValueError, match=rf"^{file} is missing\.$"):
        load(file)
    pickle = file.with_name("pytorch_model.bin")
    torch.save({}, pickle)
    with pytest.raises(ValueError, match=rf"^{pickle} is a pickle, .* {file.name}.*(save_\w+).*"):
        load(file)


def older(tensors: dict) -> dict:
    """Names that files of older versions of a library have."""
    renamed = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, old in renamed.items():
        new, old = (f"attentions.0.{name}." for name in (new, old))
        tensors = {name.replace(new, old): value for name, value in tensors.items()}
    return tensors


def with_prefix(tensors: dict) -> dict:
    """A CLIP's text model as transformers 4 saved it."""
    prefixed = {f"text_model.{key.removeprefix('text_model.')}": tensors[key] for key in tensors}
    return prefixed | {"text_model.embeddings.position_ids": np.arange(tiny.LENGTH)[None]}


def twice(tensors: dict) -> dict:
    """A T5 with both names of its one embedding, and the bias of the decoder that it lost."""
    table = next(
        tensors[key] for key in tensors if key.endswith(("shared.weight", "tokens.weight"))
    )
    return tensors | {
        "shared.weight": table,
        "encoder.embed_tokens.weight": table.copy(),
        "decoder.block.0.layer.0.SelfAttention.q.weight": table.copy(),
    }


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (TEXT, with_prefix),
        ("t5/model.safetensors", twice),
        (
            CLIPSEG,
            lambda held: held | {"clip.text_model.embeddings.position_ids": np.arange(24)[None]},
        ),
        ("attention/vae/diffusion_pytorch_model.safetensors", older),
    ],
)
def test_files_of_older_versions_load_the_same(folder, name, change):
    AutoencoderKL(block_out_channels=(4,), norm_num_groups=4, latent_channels=4).save_pretrained(
        folder / "attention" / "vae"
    )
    before = load(folder / name).state_dict()
    rewrite(folder / name, change)
    after = load(folder / name).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_pipeline_with_one_damaged_part_is_refused(folder):
    configure(folder / TEXT, "num_hidden_layers", 3)
    with pytest.raises(ValueError, match=rf"^{folder / TEXT} .* 16 missing"):
        pipelines.load({"folder": str(folder / "sd1")})


@pytest.mark.parametrize(
    ("kind", "name", "change", "said"),
    [
        (UNet2DConditionModel, "unet/config", {"down_block_types": ["No", "No"]}, "No does not"),
        (DPMSolverMultistepScheduler, "scheduler/scheduler_config", {"beta_schedule": "no"}, "no "),
        (AutoTokenizer, "tokenizer/tokenizer", {"model": {"type": "Nothing"}}, "Model"),
    ],
)
def test_what_a_library_says_names_the_folder(folder, kind, name, change, said):
    file = folder / "sd1" / f"{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(
        ValueError, match=rf"^{file.parent} cannot be loaded \(.*({said})"
    ) as caught:
        load_part(kind, file.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae"])
def test_a_part_that_is_left_out_or_unknown_is_named(folder, part):
    file = folder / "sd1" / "model_index.json"
    index = json.loads(file.read_text())
    for value, message in (
        ([None, None], f"StableDiffusionPipeline needs {part}, which is left out."),
        ([index[part][0], "Nothing"], f"{part}: {index[part][0]} has no class Nothing."),
        ([index[part][0], "__name__"], f"{part}: {index[part][0]} has no class __name__."),
    ):
        file.write_text(json.dumps(index | {part: value}))
        with pytest.raises(ValueError, match=rf"^{re.escape(f'{file}: {message}')}$"):
            pipelines.load({"folder": str(file.parent)})


@pytest.mark.parametrize("tokenizer", [True, False])
def test_stable_diffusion_3_loads_without_its_t5(tmp_path, tokenizer):
    own = tiny.tiny_sd3(tmp_path)
    index = tmp_path / "model_index.json"
    left_out = ["text_encoder_3", *["tokenizer_3"] * (not tokenizer)]
    nothing = {name: [None, None] for name in left_out}
    index.write_text(json.dumps(json.loads(index.read_text()) | nothing))
    for name in left_out:
        shutil.rmtree(tmp_path / name)
    loaded = pipelines.load({"folder": str(tmp_path)})
    assert loaded.text_encoder_3 is None
    own.register_modules(text_encoder_3=None)
    prompt = {"prompt": "a red cat", "prompt_2": None, "prompt_3": None}
    for found, expected in zip(
        loaded.encode_prompt(**prompt), own.encode_prompt(**prompt), strict=True
    ):
        assert torch.equal(found.cpu(), expected)
    _, texts = pipelines.load_texts({"folder": str(tmp_path)})
    assert [(text.tokenizer is None, text.length) for text in texts] == [(False, 24), (True, 256)]


@pytest.mark.parametrize("name", [SEGMENTER, CLIPSEG, CLIP])
def test_a_judge_that_was_saved_in_half_precision_computes_in_float32(folder, name):
    file = folder / name
    rewrite(file, lambda tensors: {key: halved(value) for key, value in tensors.items()})
    if name != CLIP:
        configure(file, "dtype", "float16")
    model = load(file)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def halved(values: np.ndarray) -> np.ndarray:
    """Numbers in half precision; integers stay."""
    return values.astype(np.float16) if np.issubdtype(values.dtype, np.floating) else values


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError(), RuntimeError("torn")]
)
def test_a_file_is_not_blamed_for_a_full_disk_or_too_little_memory(error):
    blamed = isinstance(error, RuntimeError)
    with pytest.raises(ValueError if blamed else type(error)) as found, naming("a.bin"):
        raise error
    assert ("a.bin cannot be loaded" in str(found.value)) == blamed
