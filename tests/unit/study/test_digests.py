"""Digests of code, models and values: what decides whether a rule runs again."""

import pytest
import torch
from safetensors.torch import save_file

from stepscope.study import digests
from support.package import source

MODULES = {
    "stepscope/__init__.py": "FACE = 1\n",
    "stepscope/p/__init__.py": "",
    "stepscope/p/a.py": "from stepscope.p import b\nx = 1\n",
    "stepscope/p/b.py": "y = 2\n",
    "stepscope/q/__init__.py": "",
    "stepscope/q/b.py": "z = 3\n",
}


def changed(**files: str) -> str:
    """Digest of stepscope.p.a when files, with _ for /, have other texts."""
    names = {name.replace("/", "_").removesuffix(".py"): name for name in MODULES}
    modules = MODULES | {names[name]: text for name, text in files.items()}
    return digests.digest(["stepscope.p.a"], modules.get)


def test_digest_ignores_comments_layout_and_docstrings_but_not_imported_code():
    before = changed()
    text = MODULES["stepscope/p/a.py"]
    assert changed(stepscope_p_a=f'"""Doc."""\n{text}  # why\n') == before
    assert changed(stepscope_p_a=text.replace("1", "2")) != before
    assert changed(stepscope_p_b="y = 3\n") != before


def test_digest_follows_dotted_names_to_one_module_of_several_with_the_same_name():
    before = changed()
    assert changed(stepscope_q_b="z = 4\n") == before
    assert changed(stepscope_p___init__="w = 4\n") != before  # it runs when its module is imported
    assert changed(stepscope___init__="FACE = 2\n") == before  # it only says where things are


def test_what_a_job_says_of_itself_reruns_nothing():
    uses = {"stepscope/p/a.py": "from stepscope.joblog import bar\nx = 1\n"}
    found = [
        digests.digest(["stepscope.p.a"], (MODULES | uses | {"stepscope/joblog.py": text}).get)
        for text in ("EVERY = 1\n", "EVERY = 2\n")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "text",
    [
        "import stepscope.p.b",
        "from stepscope.p.b import y",
        "from . import b",
        "from .b import y",
        "from ..p import b",
        "from ..p.b import y",
        "def f():\n    from stepscope.p import b",
    ],
)
def test_every_kind_of_import_is_followed(text):
    modules = MODULES | {"stepscope/p/a.py": text}
    paths = digests.closure(["stepscope.p.a"], modules.get)
    assert "stepscope/p/b.py" in paths
    assert "stepscope/q/b.py" not in paths


def test_modules_of_ones_own_are_followed_from_module_to_module():
    own = {"mine.py": "import helpers.maps", "helpers/maps.py": "x = 1", "helpers/__init__.py": ""}
    assert digests.closure(["mine"], own.get).keys() == own.keys()
    assert digests.closure(["torch"], own.get) == {}


def test_public_names_lead_to_their_modules():
    face = {"stepscope/__init__.py": "if T:\n    from stepscope.p.b import y as public\n"}
    for text in ("from stepscope import public", "import stepscope"):
        modules = MODULES | face | {"mine.py": text}
        assert "stepscope/p/b.py" in digests.closure(["mine"], modules.get)
    assert "stepscope/p/b.py" not in digests.closure(["stepscope.q.b"], modules.get)


def test_values_have_digests_by_content():
    assert digests.of_values() == ""
    assert digests.of_values({"a": 1}) == digests.of_values({"a": 1}) != digests.of_values({"a": 2})


def test_fingerprint_is_of_content_not_of_place_or_time(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "unet").mkdir(parents=True)
        (tmp_path / name / "unet" / "w.safetensors").write_bytes(b"x" * 3_000)
    one, two = digests.fingerprint(tmp_path / "one"), digests.fingerprint(tmp_path / "two")
    assert one == two
    digests.fingerprint.cache_clear()
    (tmp_path / "two" / "unet" / "config.json").write_text("{}")
    assert digests.fingerprint(tmp_path / "two") != one


def test_masks_that_change_are_others(tmp_path):
    mask, boxed = tmp_path / "masks" / "cat.png", tmp_path / "1.png"
    mask.parent.mkdir()
    truth = {"a": str(mask.parent), "b": {"image": str(boxed), "boxes": {}}}
    seen = set()
    for in_mask, in_picture in (("1", "1"), ("2", "1"), ("2", "2"), ("1", "1")):
        mask.write_text(in_mask)
        boxed.write_text(in_picture)
        digests.fingerprint.cache_clear()
        digests.picture.cache_clear()
        seen.add(digests.masks(truth))
    assert len(seen) == 3
    assert digests.masks({}) == ""


@pytest.mark.parametrize("whole", [True, False])
def test_fingerprint_sees_a_change_of_one_layer(tmp_path, monkeypatch, whole):
    if not whole:  # as of gigabytes
        monkeypatch.setattr(digests, "SMALL", 1000)
        monkeypatch.setattr(digests, "ENDS", 100)
    layers = {f"layer.{i}": torch.full((40, 40), float(i)) for i in range(9)}
    prints = set()
    for name, change in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        edited = layers | {"layer.4": layers["layer.4"] + change}
        save_file(edited, tmp_path / name / "model.safetensors")
        prints.add(digests.fingerprint(tmp_path / name))
    assert len(prints) == 2


def test_generation_does_not_depend_on_analyses_or_on_how_prompts_are_read():
    needed = digests.closure(["stepscope.tracing.generate"], source)
    names = {path.removeprefix("stepscope/").removesuffix(".py") for path in needed}
    assert {"tracing/call", "models/families/registry", "store/parts"} <= names
    assert not names & {"diffusion/denoiser", "tracing/real_pictures", "store/traces"}
    assert not {name.split("/")[0] for name in names} & {"methods", "scores", "pictures", "study"}
    assert not names & {"models/families/unet", "models/families/sd3"}  # of a model, not of the job
