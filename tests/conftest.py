"""Copies of one tiny study that is run once a session, and of the models that it uses."""

from pathlib import Path

import pytest

from support import tiny, tiny_judges
from support.workflow import Study, new_study


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """Folder of tiny models with random weights: pipeline, clip, segmenter, text_segmenter."""
    folder = tmp_path_factory.mktemp("models")
    tiny.tiny_sd1(folder / "pipeline")
    tiny_judges.tiny_clip(folder / "clip")
    tiny_judges.tiny_segmenter(folder / "segmenter")
    tiny_judges.tiny_text_segmenter(folder / "text_segmenter")
    return folder


@pytest.fixture
def fresh(models, tmp_path) -> Study:
    """The tiny study with nothing run."""
    return new_study(tmp_path / "study", models)


@pytest.fixture(scope="session")
def finished(models, tmp_path_factory) -> Study:
    """The tiny study with `all` run once; copy it before changing anything."""
    study = new_study(tmp_path_factory.mktemp("finished") / "study", models)
    study.snakemake("all")
    return study


@pytest.fixture
def study(finished, tmp_path) -> Study:
    """A copy of the finished study that a test may change."""
    return finished.copy(tmp_path / "study")
