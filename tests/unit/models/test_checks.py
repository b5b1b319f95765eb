"""Models that no job could load are refused when the study is parsed."""

import json
import re
import shutil
from pathlib import Path

import pytest

from stepscope.models.checks import check_models
from stepscope.models.sizes import check_size
from support import tiny


@pytest.fixture(scope="module")
def pixart(tmp_path_factory) -> Path:
    """Folder of a tiny pipeline whose network has patches."""
    folder = tmp_path_factory.mktemp("pixart")
    tiny.tiny_pixart(folder)
    return folder


@pytest.fixture
def folder(models, pixart, tmp_path) -> Path:
    """A copy of the pipeline and of every kind of judge, which a test may damage."""
    copied = Path(shutil.copytree(models, tmp_path / "saved"))
    shutil.rmtree(copied / "pipeline")
    shutil.copytree(pixart, copied / "pipeline")
    return copied


def study(**changes) -> dict:
    """The part of a study's config that names models."""
    return {
        "models": {"own": {"folder": "pipeline"}, "hub": {"repo": "acme/x", "revision": "main"}},
        "ground": {"kind": "segmenter", "folder": "segmenter"},
        "probe": {"model": {"folder": "clip"}},
        "height": None,
        "width": None,
        "scheduler": {"name": "dpmsolver++", "order": 1},
        "samplings": {"uniform": {"kind": "uniform", "steps": 4}},
    } | changes


def set_keys(path: Path, **values: object) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_whole_models_pass(folder):
    check_models(study(height=72, width=48), folder.joinpath, "mine.yaml")
    asked = {"kind": "text_segmenter", "folder": "text_segmenter"}
    check_models(study(ground=asked), folder.joinpath, "mine.yaml")
    nothing = {"kind": "masks", "folder": "nowhere"}
    check_models(study(ground=nothing), folder.joinpath, "mine.yaml")


@pytest.mark.parametrize(
    ("name", "change", "key", "message"),
    [
        (
            "pipeline/model_index.json",
            {"_class_name": "StableDiffusionInpaintPipeline"},
            "models/own",
            "StableDiffusionInpaintPipeline: no family of models covers this pipeline class",
        ),
        ("pipeline/model_index.json", {"_class_name": []}, "models/own", "[]: no family of models"),
        (
            "pipeline/model_index.json",
            {"vae": [None, None]},
            "models/own",
            "the pipeline has no vae",
        ),
        (
            "pipeline/model_index.json",
            {"transformer": [None] * 2},
            "models/own",
            "the pipeline has no",
        ),
        ("pipeline/model_index.json", {"../x": ["a", "b"]}, "models/own", "'../x' is no name of a"),
        (
            "clip/open_clip_config.json",
            {"model_cfg": []},
            "probe/model",
            "model_cfg/text_cfg is missing",
        ),
        ("segmenter/config.json", {"model_type": "bert"}, "ground", "model_type is 'bert', and"),
    ],
)
def test_what_no_job_could_load_is_named(folder, name, change, key, message):
    set_keys(folder / name, **change)
    expected = re.escape(f"mine.yaml: {key}: {folder / name}: {message}")
    with pytest.raises(ValueError, match=rf"^{expected}"):
        check_models(study(), folder.joinpath, "mine.yaml")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("models/own", "pipeline/transformer/diffusion_pytorch_model.safetensors"),
        ("models/own", "pipeline/text_encoder/model.safetensors"),
        ("ground", "segmenter/model.safetensors"),
        ("probe/model", "clip/open_clip_model.safetensors"),
    ],
)
def test_weights_that_are_not_whole_are_named(folder, key, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"^mine.yaml: {key}: {path} is no complete safetensors"):
        check_models(study(), folder.joinpath, "mine.yaml")
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(
        ValueError, match=rf"^mine.yaml: {key}: {path.with_suffix('.bin')} is a pic"
    ):
        check_models(study(), folder.joinpath, "mine.yaml")


def test_a_class_of_ones_own_family_is_left_to_it(folder):
    set_keys(folder / "pipeline" / "model_index.json", _class_name="PixArtAlphaPipeline")
    own = {"own": {"folder": "pipeline", "family": "my_family:Alpha"}}
    check_models(study(models=own), folder.joinpath, "mine.yaml")


def test_a_sampling_of_levels_that_the_model_does_not_have_is_named_with_the_model(folder):
    far = {"far": {"kind": "log_snr", "steps": 4, "start": -30}}
    with pytest.raises(ValueError, match=r"^mine.yaml: models/own: samplings/far/start: log-SNR"):
        check_models(study(samplings=far), folder.joinpath, "mine.yaml")


def test_a_size_is_a_multiple_of_factor_times_patch(folder):
    set_keys(folder / "pipeline" / "transformer" / "config.json", patch_size=4)
    with pytest.raises(
        ValueError, match=r"^mine.yaml: height: 72 is no multiple of 16, as the mod"
    ):
        check_models(study(height=72, width=64), folder.joinpath, "mine.yaml")


@pytest.mark.parametrize(
    ("size", "factor", "patch", "multiple", "remedy"),
    [
        (72, 8, 2, 16, "64 or 80"),  # PixArt and Stable Diffusion 3
        (516, 8, 1, 8, "512 or 520"),  # U-Nets
        (4, 8, 2, 16, "16"),
        (1000, 32, 1, 32, "992 or 1024"),
    ],
)
def test_sizes_are_refused_with_the_next(size, factor, patch, multiple, remedy):
    for sides, name in (((size, None), "height"), ((None, size), "width")):
        with pytest.raises(
            ValueError, match=rf"^{name}: {size} is no multiple of {multiple}, as me"
        ):
            check_size(*sides, factor, patch, "me")
        with pytest.raises(ValueError, match=rf": {remedy} is\.$"):
            check_size(*sides, factor, patch, "me")
    check_size(multiple, 2 * multiple, factor, patch, "me")
