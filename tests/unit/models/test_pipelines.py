"""Loading from folders and from the hub's cache, and one GPU for each job."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import SlicedAttnProcessor
from huggingface_hub import constants

from stepscope.models import devices, folders, judges, pipelines
from stepscope.models.families import registry
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import Trace
from support import tiny, tiny_judges


def test_a_saved_pipeline_loads_frozen_and_equal(tmp_path):
    own = tiny.tiny_xl(tmp_path)
    loaded = pipelines.load({"folder": str(tmp_path)})
    assert type(loaded) is type(own)
    assert not any(weight.requires_grad for weight in loaded.unet.parameters())
    for name, weight in own.unet.state_dict().items():
        assert torch.equal(weight, loaded.unet.state_dict()[name].cpu())


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_xl", "tiny_pixart", "tiny_sd3"])
def test_texts_are_known_without_any_weights(tmp_path, kind):
    own = getattr(tiny, kind)(tmp_path)
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()
    family, texts = pipelines.load_texts({"folder": str(tmp_path)})
    assert own.__class__.__name__ in family.pipelines
    expected = registry.family_of(own).own_texts()
    assert [text.length for text in texts] == [text.length for text in expected]
    for found, known in zip(texts, expected, strict=True):
        assert found.tokenizer("a zebra").input_ids == known.tokenizer("a zebra").input_ids
        assert len(found.twins) == len(known.twins)


def test_a_pipeline_of_no_family_is_named(tmp_path):
    tiny.tiny_sd1(tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "DiTPipeline"))
    with pytest.raises(ValueError, match=r"model_index.json: DiTPipeline: no family"):
        pipelines.load({"folder": str(tmp_path)})


def test_dtype_is_the_specs(tmp_path):
    tiny.tiny_sd1(tmp_path)
    assert (
        pipelines.load({"folder": str(tmp_path), "dtype": "bfloat16"}).unet.dtype == torch.bfloat16
    )


REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = {"repo": "acme/tiny", "revision": REVISION}


def test_a_repository_loads_from_the_hubs_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    own = tiny.tiny_sd1(tmp_path / "models--acme--tiny" / "snapshots" / REVISION)
    loaded = pipelines.load(HUB)
    for name, weight in own.unet.state_dict().items():
        assert torch.equal(weight, loaded.unet.state_dict()[name].cpu())
    assert pipelines.load_texts(HUB)[1][0].length == tiny.LENGTH
    segmenter = tmp_path / "models--acme--segmenter" / "snapshots" / REVISION
    tiny_judges.tiny_segmenter(segmenter)
    assert judges.load_segmenter(HUB | {"repo": "acme/segmenter"})[1]


def test_a_repository_that_was_not_fetched_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=rf"^repo: acme/tiny at {REVISION} is not in the hub's"):
        pipelines.load(HUB)


def test_an_incomplete_snapshot_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--acme--tiny" / "snapshots" / REVISION
    tiny.tiny_sd1(folder)
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(ValueError, match=rf"^{folder}/vae/config.json is missing\.$"):
        pipelines.load(HUB)


def test_variant_is_the_specs(tmp_path):
    tiny.tiny_sd1(seed=1).save_pretrained(tmp_path, variant="fp16")
    own = tiny.tiny_sd1(tmp_path)
    for variant, seed in (("fp16", 1), (None, 0)):
        loaded = pipelines.load({"folder": str(tmp_path), "variant": variant})
        expected = tiny.tiny_sd1(seed=seed).unet.conv_in.weight
        assert torch.equal(loaded.unet.conv_in.weight.cpu(), expected), variant
    assert torch.equal(own.unet.conv_in.weight, tiny.tiny_sd1(seed=0).unet.conv_in.weight)


def traced(pipeline) -> Trace:
    return trace_prompts(
        pipeline,
        ["a red cat", "a dog"],
        [0, 1],
        sampling={"kind": "uniform", "steps": 2},
        guidance=4.0,
        negative_prompt="",
        height=None,
        width=None,
        scheduler={"name": "dpmsolver++", "order": 1},
        roles=[{}, {}],
    )


def test_slicing_saves_memory_not_meaning(tmp_path):
    tiny.tiny_sd1(tmp_path)
    spec = {"folder": str(tmp_path)}
    plain = pipelines.load(spec)
    sliced = pipelines.load(spec | {"attention_slicing": True, "vae_slicing": True})
    processors = {type(each) for each in sliced.unet.attn_processors.values()}
    assert processors == {SlicedAttnProcessor}
    assert sliced.vae.use_slicing
    assert not plain.vae.use_slicing
    torch.testing.assert_close(traced(sliced).latents, traced(plain).latents, rtol=1e-4, atol=1e-4)


def test_slicing_that_a_pipeline_does_not_offer_is_refused(monkeypatch):
    pipeline = tiny.tiny_sd1()
    monkeypatch.delattr(type(pipeline.unet), "set_attention_slice")
    monkeypatch.delattr(pipelines.torch.nn.Module, "set_attention_slice", raising=False)
    with pytest.raises(ValueError, match=r"^attention_slicing: StableDiffusionPipeline does not"):
        pipelines.save_memory(pipeline, {"attention_slicing": True})


def test_offload_without_a_gpu_says_so_and_changes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipelines, "device", lambda: torch.device("cpu"))
    tiny.tiny_sd1(tmp_path)
    loaded = pipelines.load({"folder": str(tmp_path), "offload": "sequential"})
    assert capsys.readouterr().out.count("offload: there is no GPU") == 1
    assert torch.equal(
        traced(loaded).latents, traced(pipelines.load({"folder": str(tmp_path)})).latents
    )


@pytest.mark.parametrize("kind", ["model", "sequential"])
def test_offload_with_a_gpu_is_the_librarys(kind, monkeypatch):
    called = []
    pipeline = tiny.tiny_sd1()
    monkeypatch.setattr(pipelines, "device", lambda: torch.device("cuda", 1))
    for name in ("model", "sequential"):
        monkeypatch.setattr(
            type(pipeline),
            f"enable_{name}_cpu_offload",
            lambda self, device, name=name: called.append((name, device)),
        )
    pipelines.save_memory(pipeline, {"offload": kind})
    assert called == [(kind, torch.device("cuda", 1))]


def test_a_missing_folder_is_named():
    for load in (lambda folder: pipelines.load({"folder": folder}), folders.check_folder):
        seen = f"folder: nowhere/pipeline is no folder, seen from {Path.cwd()}."
        with pytest.raises(ValueError, match=f"^{re.escape(seen)}$"):
            load("nowhere/pipeline")
        with pytest.raises(ValueError, match=r"^folder: /nowhere/pipeline is no folder\.$"):
            load("/nowhere/pipeline")


def test_two_jobs_never_share_a_gpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_claimed", [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"card{index}")
    )
    assert devices._claim_gpu() == 0
    assert devices._claim_gpu() == 1

    def finish(_):
        devices._claimed.pop(0).close()  # the first job ends while the third waits

    monkeypatch.setattr(devices.time, "sleep", finish)
    assert devices._claim_gpu() == 0
    assert "waiting" in capsys.readouterr().out
