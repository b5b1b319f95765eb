"""A model's folder is data: nothing in it runs, and nothing is imported because it says so."""

import json
import sys

import pytest

from stepscope.models import folders
from stepscope.models.loading import class_of, load_part

RAN = "open({!r}, 'w').close()\nclass Part: pass\n"


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A file that is there once a module `evil` was imported, which lies where it is found."""
    mark = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(RAN.format(str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield mark
    sys.modules.pop("evil", None)


@pytest.mark.parametrize("library", ["evil", "antigravity", "evil.part"])
def test_no_module_is_imported_because_an_index_names_it(ran, library):
    with pytest.raises(ValueError, match=f"index: unet: {library} is neither diffusers nor trans"):
        class_of(library, "Part", "index: unet")
    assert not ran.exists()
    assert library not in sys.modules


def test_a_class_of_an_own_family_is_taken_once_the_study_has_named_its_module(ran):
    import evil

    assert class_of("evil", "Part", "index: unet") is evil.Part
    assert class_of("diffusers", "AutoencoderKL", "").__name__ == "AutoencoderKL"


@pytest.mark.parametrize("kind", ["AutoTokenizer", "AutoImageProcessor", "AutoModel"])
def test_code_in_a_folder_is_not_run_whatever_its_configuration_says(
    ran, tmp_path, monkeypatch, kind
):
    import transformers

    monkeypatch.setattr("builtins.input", lambda *_: "y")  # who is asked says yes

    said = {"auto_map": {name: "evil.Part" for name in ("AutoConfig", kind)}, "model_type": "evil"}
    said["auto_map"]["AutoTokenizer"] = ["evil.Part", None]
    for name in ("config", "tokenizer_config", "preprocessor_config"):
        (tmp_path / f"{name}.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be loaded"):
        load_part(getattr(transformers, kind), tmp_path)
    assert not ran.exists()


def test_a_clip_that_asks_for_its_own_tokenizer_is_refused(tmp_path):
    text = {"hf_tokenizer_name": ".", "tokenizer_kwargs": {"trust_remote_code": True}}
    config = tmp_path / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": {"text_cfg": text, "vision_cfg": {}}}))
    with pytest.raises(ValueError, match=f"{config}: model_cfg/text_cfg/tokenizer_kwargs: trust_"):
        folders.check_clip(tmp_path)
