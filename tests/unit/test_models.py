"""Loading from folders, and one GPU for each job."""

from types import SimpleNamespace

import pytest
import torch

import tiny
from stepscope import models
from stepscope.words import check_length


def test_a_saved_pipeline_loads_frozen_and_equal(tmp_path):
    own = tiny.tiny_xl(tmp_path)
    loaded = models.load({"folder": str(tmp_path)})
    assert type(loaded) is type(own)
    assert not any(weight.requires_grad for weight in loaded.unet.parameters())
    for name, weight in own.unet.state_dict().items():
        assert torch.equal(weight, loaded.unet.state_dict()[name].cpu())
    tokens = models.load_tokenizer({"folder": str(tmp_path)})
    assert tokens("a zebra").input_ids == own.tokenizer("a zebra").input_ids
    assert tokens.model_max_length == tiny.LENGTH


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


def test_prompts_are_measured_by_the_tokenizer_folder_alone(tmp_path):
    tiny.tokenizer().save_pretrained(tmp_path / "tokenizer")
    tokenizer = models.load_tokenizer({"folder": str(tmp_path)})
    check_length(tokenizer, "a cat", "row 2")
    with pytest.raises(ValueError, match="row 2: the prompt"):
        check_length(tokenizer, "cat " * 30, "row 2")
