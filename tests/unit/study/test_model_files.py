"""What a model's folder says of it before it loads, and the sizes that methods need."""

import json
from pathlib import Path

import pytest

from stepscope.study.model_files import (
    Latent,
    check_families,
    check_latents,
    is_distilled,
    latent_of,
    pipeline_class,
)
from support.package import source


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"_class_name": "A"}', "A"), ("{}", None), ("[]", None), ("{", None), (None, None)],
)
def test_the_class_of_a_pipeline_is_read_or_left_to_the_job_that_loads_it(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "model_index.json").write_text(text)
    assert pipeline_class(tmp_path) == expected


def test_a_distilled_model_is_known_by_its_config(tmp_path):
    assert not is_distilled(tmp_path)
    (tmp_path / "unet").mkdir()
    config = tmp_path / "unet" / "config.json"
    config.write_text('{"time_cond_proj_dim": null}')
    assert not is_distilled(tmp_path)
    config.write_text('{"time_cond_proj_dim": 256}')
    assert is_distilled(tmp_path)


def folder_of(path: Path, **configs: dict) -> Path:
    for part, config in configs.items():
        (path / part).mkdir(parents=True)
        (path / part / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, "\xff"])
def test_a_torn_config_of_a_network_is_named(tmp_path, text):
    (tmp_path / "unet").mkdir()
    path = tmp_path / "unet" / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"unet/config\.json is no JSON (file|object)") as caught:
        is_distilled(tmp_path)
    assert "\n" not in str(caught.value)
    assert latent_of(tmp_path, 64, 64) is None  # loading the model says so


@pytest.mark.parametrize(
    ("configs", "height", "width", "expected"),
    [
        ({"unet": {"sample_size": 16}}, None, None, Latent(16, 16, 4)),
        ({"unet": {"sample_size": 16}}, 32, 48, Latent(8, 12, 4)),
        ({"unet": {"sample_size": [64, 96]}}, None, 256, Latent(64, 64, 4)),
        ({"transformer": {"sample_size": 128}}, 40, None, Latent(10, 128, 4)),
        ({"unet": {}}, 32, 48, None),
        ({}, 32, 48, None),
    ],
)
def test_the_latent_of_a_folder(tmp_path, configs, height, width, expected):
    vae = {"block_out_channels": [8, 16, 32]}
    assert latent_of(folder_of(tmp_path, vae=vae, **configs), height, width) == expected


RISE = {"function": "stepscope.methods.df_rise:df_rise"}


@pytest.mark.parametrize(
    ("latent", "pixels"),
    [(Latent(8, 12, 4), 40), (Latent(64, 9, 8), 80), (Latent(9, 9, 2), 24)],
)
def test_latents_that_a_method_cannot_explain_are_refused_with_the_smallest_size(latent, pixels):
    with pytest.raises(ValueError, match=r"^c\.yaml: explain/rise: ") as caught:
        check_latents({"rise": RISE}, {"big": Latent(64, 64, 8), "m": latent}, source, "c.yaml")
    assert str(caught.value).endswith(
        f"at least 10 x 10, and those of the model m are {latent.height} x {latent.width}; set "
        f"height and width to {pixels} or more."
    )
    least = -(-pixels // latent.factor)
    enough = {"m": Latent(least, least, latent.factor), "unknown": None}
    check_latents({"rise": RISE}, enough, source, "c.yaml")
    cam = {"function": "stepscope.methods.df_cam:df_cam"}
    check_latents({"cam": cam}, {"m": latent}, source, "c.yaml")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_family:Alpha", ""),
        ("my_family:Alpa", "my_family.py has no 'Alpa', did you mean Alpha."),
        ("my_familly:Alpha", "there is no module my_familly, neither below"),
        ("my_family:make", "my_family:make is a function, and a family is a class."),
        ("stepscope.models.families.unet:UNetXX", "families/unet.py has no 'UNetXX', did you mean"),
        ("stepscope.models.families.unet:UNetXL", ""),
    ],
)
def test_a_family_of_ones_own_is_a_class_that_exists(reference, message):
    text = "from stepscope import PixArt\ndef make(): ...\nclass Alpha(PixArt): ..."

    def own(path: str) -> str | None:
        return text if path == "my_family.py" else source(path)

    models = {"plain": {"folder": "x"}, "m": {"folder": "x", "family": reference}}
    if not message:
        check_families(models, own, "c.yaml")
        return
    with pytest.raises(ValueError, match=r"^c\.yaml: models/m/family: ") as caught:
        check_families(models, own, "c.yaml")
    assert message in str(caught.value)
