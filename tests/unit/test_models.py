"""Loading from folders, and one GPU for each job."""

from types import SimpleNamespace

import pytest
import torch

import tiny
from stepscope import families, models


def test_a_saved_pipeline_loads_frozen_and_equal(tmp_path):
    own = tiny.tiny_xl(tmp_path)
    loaded = models.load({"folder": str(tmp_path)})
    assert type(loaded) is type(own)
    assert not any(weight.requires_grad for weight in loaded.unet.parameters())
    for name, weight in own.unet.state_dict().items():
        assert torch.equal(weight, loaded.unet.state_dict()[name].cpu())


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_xl", "tiny_pixart", "tiny_sd3"])
def test_texts_are_known_without_any_weights(tmp_path, kind):
    own = getattr(tiny, kind)(tmp_path)
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()
    family, texts = models.load_texts({"folder": str(tmp_path)})
    assert own.__class__.__name__ in family.pipelines
    expected = families.of(own).own_texts()
    assert [text.length for text in texts] == [text.length for text in expected]
    for found, known in zip(texts, expected, strict=True):
        assert found.tokenizer("a zebra").input_ids == known.tokenizer("a zebra").input_ids
        assert len(found.twins) == len(known.twins)


def test_a_pipeline_of_no_family_is_named(tmp_path):
    tiny.tiny_sd1(tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "DiTPipeline"))
    with pytest.raises(ValueError, match=r"^DiTPipeline: no family of models covers"):
        models.load({"folder": str(tmp_path)})


def test_dtype_is_the_specs(tmp_path):
    tiny.tiny_sd1(tmp_path)
    assert models.load({"folder": str(tmp_path), "dtype": "bfloat16"}).unet.dtype == torch.bfloat16


def test_a_missing_folder_is_named():
    with pytest.raises(ValueError, match=r"^folder: nowhere/pipeline is no folder\.$"):
        models.load({"folder": "nowhere/pipeline"})


def test_two_jobs_never_share_a_gpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(models, "_claimed", [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"card{index}")
    )
    assert models._claim_gpu() == 0
    assert models._claim_gpu() == 1

    def finish(_):
        models._claimed.pop(0).close()  # the first job ends while the third waits

    monkeypatch.setattr(models.time, "sleep", finish)
    assert models._claim_gpu() == 0
    assert "waiting" in capsys.readouterr().out
