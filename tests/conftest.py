"""Copies of one tiny study that is run once a session, the models that it uses, and marks."""

import ast
import functools
from pathlib import Path

import pytest

from stepscope import allocator
from stepscope.study import digests
from support import tiny, tiny_judges
from support.workflow import Study, copied_code, new_study

MODEL_MODULES = {
    f"support.{name}" for name in ("tiny", "tiny_judges", "replayed", "traced", "timing")
}
TRAINING = "stepscope.embedded.training."  # its tests train models for a few steps
MODEL_FIXTURES = {"models", "fresh", "finished", "study"}


allocator.keep_pages()  # as jobs and notebooks do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that make or load a model, so that `-m "not model"` leaves the quick ones."""
    for item in items:
        if imports_models(item.path) or MODEL_FIXTURES.intersection(item.fixturenames):
            item.add_marker("model")


@functools.cache
def imports_models(path: Path) -> bool:
    """Whether a test module imports what makes or loads models, wherever in its text."""
    imported = digests.imports(ast.parse(path.read_text(encoding="utf-8")))
    return any(
        base in MODEL_MODULES
        or base.startswith(TRAINING)
        or MODEL_MODULES.intersection(f"{base}.{name}" for name in names)
        for base, names in imported
    )


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


@pytest.fixture
def own_code(study) -> Study:
    """A copy of the workflow, so that its code may be edited, with the finished study."""
    study.root = copied_code(study.folder.parent / "code")
    return study
