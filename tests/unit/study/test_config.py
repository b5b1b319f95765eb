"""The configuration's checks and the digests that decide what runs again."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from stepscope.study import digests
from stepscope.study.config import check, check_folders, check_pictures, check_references
from stepscope.study.datasets import prompt_table
from stepscope.study.method_checks import check_guidance, check_methods, is_distilled

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "workflow/src"
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def small() -> dict:
    return {
        "study": "s",
        "models": {"m": {"folder": "models/m"}},
        "datasets": {"d": {"prompts": "p.tsv"}},
        "samplings": {"uniform": {"kind": "uniform", "steps": 4}},
        "explain": {"mine": {"function": "own:map"}},
        "probe": {"families": {"colour": {"concepts": ["red", "blue"]}}},
    }


def source(name: str) -> str | None:
    path = SOURCE / name
    return path.read_text() if path.exists() else None


def test_defaults_are_filled_at_every_depth():
    config = small()
    check(config, SCHEMA, "mine.yaml")
    assert config["storage"] == {"forward_batch": 8, "derived": "float16"}
    assert config["datasets"]["d"]["batches"] == 1
    assert config["models"]["m"]["dtype"] == "float32"
    assert config["explain"]["mine"]["steps"] is None


@pytest.mark.parametrize(
    "entry",
    [
        {"coco": "c.json", "split": "test", "images": "i", "seeds": [0, 1], "limit": 5},
        {"visual_genome": "r.json", "images": "i", "subset_seed": 3, "batches": 4},
        {"images": "i", "column": "words", "limit": None},
        {"prompts": "p.tsv", "limit": 100},
    ],
)
def test_every_source_of_prompts(entry):
    check(small() | {"datasets": {"d": entry}}, SCHEMA, "mine.yaml")


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "masks"},
        {"folder": "x"},
        {"kind": "text_segmenter", "folder": "x"},
        {"kind": "text_segmenter", "repo": "a/b", "revision": "0" * 40},
    ],
)
def test_every_source_of_masks(entry):
    check(small() | {"ground": entry}, SCHEMA, "mine.yaml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"masks": "many"}, "masks: 'many' is not of type int."),
        ({"masks": True}, "masks: True is not of type int."),
        ({"masks": 20.5}, "masks: 20.5 is not of type int."),
        ({"keep": "half"}, "keep: 'half' is not of type float."),
        ({"similarity": 1}, "similarity: 1 is not of type str."),
        ({"variants": "paper"}, "variants: 'paper' is not of type Sequence[str]."),
        ({"variants": ["paper", 1]}, "variants: ['paper', 1] is not of type Sequence[str]."),
    ],
)
def test_values_of_a_methods_parameters_have_their_types(given, message):
    entry = {"function": "stepscope.methods.df_rise:df_rise", "samplings": None, "steps": [1]}
    fits = {"masks": 20, "keep": 1, "variants": ["paper"]}
    check_methods({"df_rise": entry | fits}, source, "mine.yaml")
    with pytest.raises(ValueError, match="mine.yaml: explain/df_rise/") as caught:
        check_methods({"df_rise": entry | given}, source, "mine.yaml")
    assert str(caught.value) == f"mine.yaml: explain/df_rise/{message}"


def test_a_folder_that_does_not_exist_is_named_with_its_key():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    check_folders(config, lambda folder: True, "mine.yaml", "/here")
    for key, folder in (
        ("models/embedded", "resources/models/pipeline"),
        ("ground", "resources/models/segmenter"),
        ("probe/model", "resources/models/clip"),
    ):
        with pytest.raises(ValueError, match=f"^mine.yaml: {key}/folder: {folder} is no folder"):
            check_folders(config, folder.__ne__, "mine.yaml", "/here")


def test_default_study_is_valid():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    check(config, SCHEMA, "config.yaml")
    check_references(config, "config.yaml")
    check_methods(config["explain"], source, "config.yaml")


def test_the_papers_study_is_valid():
    config = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    check(config, SCHEMA, "paper.yaml")
    check_references(config, "paper.yaml")
    check_methods(config["explain"], source, "paper.yaml")
    rows = prompt_table.read(str(ROOT / "config/paper_prompts.tsv"))
    assert len(rows) == 21
    assert all(row["roles"] for row in rows)


@pytest.mark.parametrize("name", ["sd14", "sd21", "sdxl", "pixart", "sd3"])
def test_every_preset_is_a_valid_entry_of_models(name):
    presets = yaml.safe_load((ROOT / "config/presets.yaml").read_text())
    config = small() | {"models": {name: presets[name]}}
    check(config, SCHEMA, "presets.yaml")
    assert config["models"][name]["repo"]  # pinned: the schema wants a revision beside it


def test_the_papers_model_is_the_preset():
    presets, paper = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("presets", "paper")
    )
    assert paper["models"]["sd14"] == presets["sd14"]


def test_forward_batch_may_be_chosen():
    config = small() | {"storage": {"forward_batch": "auto"}}
    check(config, SCHEMA, "mine.yaml")
    assert config["storage"]["forward_batch"] == "auto"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"storage": {"forward_batch": "all"}}, "storage/forward_batch: 'all' is not a number of"),
        ({"storage": {"forward_batch": 0}}, "storage/forward_batch: "),
        (
            {"models": {"m": {"folder": "x", "offload": "gpu"}}},
            "mine.yaml: models/m/offload: 'gpu'",
        ),
        ({"guidence": 3}, "mine.yaml: guidence: the key is not known, did you mean guidance."),
        ({"storage": {"batch": 3}}, "mine.yaml: storage/batch: the key is not known."),
        ({"height": 60}, "mine.yaml: height: 60 is not a multiple of 8."),
        ({"samplings": {"u": {"kind": "uniform", "steps": 1000}}}, "samplings/u/steps: 1000 is"),
        ({"explain": {}}, "mine.yaml: explain: {} should be non-empty."),
        ({"probe": {}}, "mine.yaml: probe: 'families' is a required property."),
        ({"guidance": "high"}, "mine.yaml: guidance: 'high' is not of type 'number'."),
        ({"models": {"m": {"repo": "a/b"}}}, "mine.yaml: models/m: {"),
        ({"models": {"m": {"folder": "x", "revison": "a"}}}, "models/m/revison: the key"),
        ({"samplings": {"e": {"kind": "early", "steps": 3}}}, "samplings/e: 'gamma' is a required"),
        ({"datasets": {"d": {}}}, "mine.yaml: datasets/d: {"),
        ({"datasets": {"d": {"prompts": "p.tsv", "seeds": [1]}}}, "is not one source: prompts"),
        ({"datasets": {"d": {"prompts": "p.tsv", "coco": "c.json"}}}, "is not one source: prompts"),
        ({"datasets": {"d": {"visual_genome": "r.json", "split": "x"}}}, "is not one source"),
        ({"datasets": {"d": {"images": "i", "split": "train"}}}, "is not one source"),
        (
            {"datasets": {"d": {"coco": "c.json", "limt": 3}}},
            "datasets/d/limt: the key is not known",
        ),
        ({"datasets": {"d": {"coco": "c.json", "limit": 0}}}, "datasets/d/limit: 0 is less than"),
        (
            {"datasets": {"d": {"coco": "c.json", "seeds": [1, 1]}}},
            "datasets/d/seeds: [1, 1] has non",
        ),
        ({"ground": {"kind": "segmenter"}}, "is not a kind with a folder, or with a repo and its"),
        ({"ground": {"kind": "text_segmenter", "repo": "a/b"}}, "mine.yaml: ground: {"),
        ({"ground": {"kind": "masks", "folder": "x"}}, "mine.yaml: ground: {"),
        ({"explain": {"m": {"function": "no colon"}}}, "m/function: 'no colon' does not match"),
        ({"explain": {"m": {"function": "a:b", "x": {"deep": 1}}}}, "mine.yaml: explain/m/x: "),
    ],
)
def test_refusals_name_file_and_key(change, message):
    with pytest.raises(ValueError, match="mine.yaml") as caught:
        check(small() | change, SCHEMA, "mine.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"samplings": ["latter"]}, "explain/m/samplings: there is no sampling 'latter'."),
        ({"steps": [5]}, "explain/m/steps: sampling uniform has 4 steps, not 5."),
    ],
)
def test_references(entry, message):
    config = small() | {"explain": {"m": {"function": "own:map", **entry}}}
    check(config, SCHEMA, "mine.yaml")
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        check_references(config, "mine.yaml")


def test_parameter_that_a_method_does_not_take():
    text = "def df_rise(denoiser, step, masks=500, *, seed=0): ..."
    explain = {"df_rise": {"function": "stepscope.methods.df_rise:df_rise", "mask": 3}}
    with pytest.raises(ValueError, match="explain/df_rise/mask: .*did you mean masks"):
        check_methods(explain, lambda name: text, "c.yaml")
    explain = {"df_rise": {"function": "stepscope.methods.df_rise:df_ris"}}
    with pytest.raises(ValueError, match="stepscope.methods.df_rise has no function 'df_ris'"):
        check_methods(explain, lambda name: text, "c.yaml")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"function": "stepscope.methods.df_cam:df_cam"},
            "there is one; leave it out, or set its target",
        ),
        ({"function": "stepscope.methods.df_cam:df_cam", "target": "norm"}, ""),
        ({"function": "stepscope.methods.relevance:relevance"}, "there is one; leave it out.$"),
        ({"function": "stepscope.methods.cross_attention:cross_attention"}, ""),
        ({"function": "own:map"}, ""),
    ],
)
def test_methods_that_compare_halves_need_two(entry, message):
    if not message:
        check_guidance({"m": entry}, source, "c.yaml", "there is one")
        return
    with pytest.raises(ValueError, match=f"^c.yaml: explain/m: .*{message}"):
        check_guidance({"m": entry}, source, "c.yaml", "there is one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "noise needs a picture for each prompt, and cat has none"),
        ({"trace": "invert", "order": 2}, "inversion needs steps without noise and history"),
        ({"trace": "invert", "name": "ddpm"}, "inversion needs steps without noise and history"),
        ({"trace": "generate", "name": "ddpm"}, ""),
    ],
)
def test_pictures_are_there_and_can_be_inverted(change, message):
    config = small()
    config["datasets"]["d"]["trace"] = change.get("trace", "noise")
    config["scheduler"] = {key: change[key] for key in ("name", "order") if key in change}
    check(config, SCHEMA, "c.yaml")
    prompts = {"d": [{"prompt_id": "cat", "image": ""}]}
    if not message:
        check_pictures(config, prompts, "c.yaml")
        return
    with pytest.raises(ValueError, match=f"^c.yaml: datasets/d/trace: {message}"):
        check_pictures(config, prompts, "c.yaml")


def test_a_distilled_model_is_known_by_its_config(tmp_path):
    assert not is_distilled(tmp_path)
    (tmp_path / "unet").mkdir()
    config = tmp_path / "unet" / "config.json"
    config.write_text('{"time_cond_proj_dim": null}')
    assert not is_distilled(tmp_path)
    config.write_text('{"time_cond_proj_dim": 256}')
    assert is_distilled(tmp_path)


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
    found = digests.closure(["stepscope.p.a"], modules.get)
    assert "stepscope/p/b.py" in found
    assert "stepscope/q/b.py" not in found


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
    assert {"tracing/call", "models/families/unet", "store/parts"} <= names
    assert not names & {"diffusion/denoiser", "tracing/real_pictures", "store/traces"}
    assert not {name.split("/")[0] for name in names} & {"methods", "scores", "pictures", "study"}
