"""Python's collector of cycles pauses while libraries are imported, and works in a job."""

import gc

import pytest

from stepscope import collector
from stepscope.joblog import joblog
from stepscope.methods.replaying import replaying
from stepscope.models import judges, pipelines
from stepscope.plugins import resolve


@pytest.fixture(autouse=True)
def collecting():
    """Leave the collector as it was."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("before", [True, False])
def test_a_pause_ends_with_its_block_and_leaves_a_longer_one(before):
    if not before:
        gc.disable()
    during = collector.paused()(gc.isenabled)
    failing = collector.paused()({}.__getitem__)
    assert not during()
    assert gc.isenabled() == before
    with pytest.raises(KeyError):
        failing("missing")
    assert gc.isenabled() == before


def test_a_job_collects_what_it_leaves_and_not_what_was_imported(tmp_path):
    gc.disable()  # as scripts do
    with joblog(str(tmp_path / "log")):
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000


def test_a_notebooks_objects_stay_collectable(tmp_path):
    with joblog(str(tmp_path / "log")):
        assert gc.get_freeze_count() == 0


LOADING = [
    (pipelines, pipelines.load),
    (judges, judges.load_clip),
    (judges, judges.load_segmenter),
    (judges, judges.load_text_segmenter),
]


@pytest.mark.parametrize(("module", "load"), LOADING, ids=lambda part: part.__name__)
def test_nothing_is_collected_while_a_model_loads(module, load, monkeypatch):
    def folder_of(spec):
        raise LookupError(gc.isenabled())

    monkeypatch.setattr(module, "folder_of", folder_of)
    with pytest.raises(LookupError, match="False"):
        load({"folder": "."})
    assert gc.isenabled()


def test_nothing_is_collected_while_what_a_study_names_is_imported(tmp_path, monkeypatch):
    (tmp_path / "named_by_a_study.py").write_text("import gc\nCOLLECTS = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("named_by_a_study:COLLECTS") is False
    assert gc.isenabled()


def test_nothing_is_collected_while_a_method_imports_what_replays(monkeypatch):
    def load(spec):
        raise LookupError(gc.isenabled())

    monkeypatch.setattr(pipelines, "load", load)
    with pytest.raises(LookupError, match="False"):
        replaying({}, None)
