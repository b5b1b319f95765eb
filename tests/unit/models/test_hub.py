"""What fetching records, without a network: the hub's own functions are replaced."""

import hashlib
import json
from pathlib import Path

import open_clip
import pytest
from diffusers import DiffusionPipeline

from stepscope.models import hub
from support import tiny, tiny_judges

REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = {"repo": "acme/tiny", "revision": REVISION}


@pytest.fixture
def snapshot(tmp_path, monkeypatch) -> Path:
    """A pipeline that the hub's library says it has downloaded, in the layout of its cache."""
    folder = tmp_path / "models--acme--tiny" / "snapshots" / REVISION
    tiny.tiny_sd1(folder)

    def download(repo, *, revision, variant, use_safetensors, **without):
        assert (repo, revision, variant, use_safetensors) == ("acme/tiny", REVISION, None, True)
        assert without["safety_checker"] is None
        return str(folder)

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    return folder


def test_record_names_revision_and_every_file_that_is_read(snapshot, tmp_path):
    (snapshot / "sd.ckpt").write_bytes(b"of another program")
    hub.fetch(str(tmp_path / "a.json"), model=HUB)
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["repo"] == "acme/tiny"
    assert record["revision"] == REVISION
    read = {path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.*")} - {"sd.ckpt"}
    assert record["sha256"].keys() == read
    for name, digest in record["sha256"].items():
        assert digest == hashlib.sha256((snapshot / name).read_bytes()).hexdigest()


def test_fetched_again_the_record_is_the_same(snapshot, tmp_path):
    for name in ("a.json", "b.json"):
        hub.fetch(str(tmp_path / name), model=HUB | {"dtype": "float16"})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_an_incomplete_download_leaves_no_record(snapshot, tmp_path):
    (snapshot / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (snapshot / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"unet/diffusion_pytorch_model.bin is a pickle"):
        hub.fetch(str(tmp_path / "a.json"), model=HUB)
    assert not (tmp_path / "a.json").exists()


def test_what_the_hub_says_becomes_one_sentence(tmp_path, monkeypatch):
    def download(repo, **_):
        raise OSError("Could not find\n the files.")

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    with pytest.raises(
        ValueError, match=rf"^acme/tiny {REVISION} could not be fetched \(Could not"
    ):
        hub.fetch(str(tmp_path / "a.json"), model=HUB)


def test_a_segmenter_is_fetched_as_safetensors(tmp_path, monkeypatch):
    folder = tmp_path / "models--acme--segmenter" / "snapshots" / REVISION
    tiny_judges.tiny_segmenter(folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")

    def download(repo, *, revision, allow_patterns):
        assert (repo, revision) == ("acme/segmenter", REVISION)
        assert not any("pickle.bin".endswith(pattern.strip("*")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    entry = {"kind": "segmenter", "repo": "acme/segmenter", "revision": REVISION}
    hub.fetch(str(tmp_path / "a.json"), model=entry)
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["sha256"].keys() == {"config.json", "model.safetensors"}
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="pytorch_model.bin is a pickle"):
        hub.fetch(str(tmp_path / "b.json"), model=entry)


def test_a_torn_download_whose_header_is_whole_is_refused(snapshot, tmp_path):
    weights = snapshot / "unet" / "diffusion_pytorch_model.safetensors"
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir()
    whole = weights.read_bytes()
    blob = blobs / hashlib.sha256(whole).hexdigest()  # as the hub's library calls large files
    blob.write_bytes(whole)
    weights.unlink()
    weights.symlink_to(blob)
    hub.fetch(str(tmp_path / "a.json"), model=HUB)
    blob.write_bytes(whole[:-4] + bytes(4))
    with pytest.raises(ValueError, match=rf"^{weights} is damaged: delete {blob}, so that"):
        hub.fetch(str(tmp_path / "b.json"), model=HUB)


CLIP = {"name": "ViT-B-32", "tag": "laion2b_s34b_b79k"}


def test_a_clip_is_fetched_by_name_and_tag(tmp_path, monkeypatch):
    file = tmp_path / "models--laion--x" / "snapshots" / REVISION / "open_clip_model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: str(file))
    hub.fetch(str(tmp_path / "a.json"), model=CLIP)
    digest = hashlib.sha256(b"weights").hexdigest()
    expected = CLIP | {"revision": REVISION, "sha256": {file.name: digest}}
    assert json.loads((tmp_path / "a.json").read_text()) == expected


def test_a_clip_that_is_a_pickle_or_unknown_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: "x/ViT-B-32.pt")
    with pytest.raises(ValueError, match=r"published as the pickle ViT-B-32.pt"):
        hub.fetch_clip(CLIP)
    with pytest.raises(ValueError, match=r"^name: ViT-B-32 with tag none is unknown to open_clip"):
        hub.fetch_clip(CLIP | {"tag": "none"})
