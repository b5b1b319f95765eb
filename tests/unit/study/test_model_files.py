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
