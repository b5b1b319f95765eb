"""The configuration's defaults and checks, and that the shipped studies pass them."""

import pytest
import yaml

from stepscope.models.noise_levels import check_samplings
from stepscope.study.config import (
    check,
    check_families,
    check_folders,
    check_learning,
    check_pictures,
    check_references,
)
from stepscope.study.datasets import prompt_table, published
from stepscope.study.method_checks import check_methods
from support.package import ROOT, source

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


def test_defaults_are_filled_at_every_depth():
    config = small()
    check(config, SCHEMA, "mine.yaml")
    assert config["storage"] == {"forward_batch": 8, "derived": "float16", "attention": "mean"}
    assert config["datasets"]["d"]["batches"] == 1
    assert config["models"]["m"]["dtype"] == "float32"
    assert config["explain"]["mine"]["steps"] is None


@pytest.mark.parametrize(
    "entry",
    [
        {"coco": "c.json", "split": "test", "images": "i", "seeds": [0, 1], "limit": 5},
        {"visual_genome": "r.json", "images": "i", "subset_seed": 3, "batches": 4},
        {"prompts": "p.tsv", "seeds": 2},
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


def test_the_full_study_is_valid_and_as_large_as_it_says():
    config = yaml.safe_load((ROOT / "config/full.yaml").read_text())
    check(config, SCHEMA, "full.yaml")
    check_references(config, "full.yaml")
    check_methods(config["explain"], source, "full.yaml")
    assert config["explain"]["df_rise"]["error"] < 0.01
    read = published.read_all(config["datasets"], "results/full/.datasets", "1")
    for dataset, least in {"generated": 256, "composed": 48}.items():
        assert len({record["prompt"] for record in read[dataset]}) >= 0.95 * least
        assert len({tuple(record["seeds"]) for record in read[dataset]}) == least
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    check(default, SCHEMA, "config.yaml")
    assert config["explain"].keys() <= default["explain"].keys()
    for key in ("models", "samplings", "guidance"):
        assert config[key] == default[key]


def test_the_study_of_onsets_reads_more_pictures_as_the_full_one_does():
    onsets, full = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("onsets", "full")
    )
    for key in ("models", "guidance", "scheduler", "probe", "statistics"):
        assert onsets[key] == full[key]
    assert onsets["samplings"].items() <= full["samplings"].items()
    check(onsets, SCHEMA, "onsets.yaml")
    check_references(onsets, "onsets.yaml")
    ours, theirs = onsets["datasets"]["generated"], full["datasets"]["generated"]
    assert ours["seed"] == theirs["seed"]
    assert ours["scenes"] > 2 * theirs["scenes"]
    read = published.read_all(onsets["datasets"], "results/onsets/.datasets", "1")
    assert len({tuple(record["seeds"]) for record in read["generated"]}) == ours["scenes"]


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
        ({"storage": {"attention": "layers"}}, "storage/attention: 'layers' is not one of"),
        ({"head_games": {"roles": ["verb"]}}, "head_games/roles/0: 'verb' is not one of"),
        ({"head_games": {"moves": 1}}, "head_games/moves: 1 is less than the minimum of 2."),
        (
            {"models": {"m": {"folder": "x", "offload": "gpu"}}},
            "mine.yaml: models/m/offload: 'gpu'",
        ),
        ({"guidence": 3}, "mine.yaml: guidence: the key is not known, did you mean guidance."),
        ({"storage": {"batch": 3}}, "mine.yaml: storage/batch: the key is not known."),
        ({"height": 60}, "mine.yaml: height: 60 is not a multiple of 8."),
        (
            {"samplings": {"u": {"kind": "uniform", "steps": 3, "start": -5}}},
            "samplings/u/start: the key does not go with the others.",
        ),
        (
            {"samplings": {"u": {"kind": "log_snr", "steps": 3, "gamma": 5}}},
            "samplings/u/gamma: the key does not go with the others.",
        ),
        ({"explain": {}}, "mine.yaml: explain: {} should be non-empty."),
        ({"probe": {}}, "mine.yaml: probe: 'families' is a required property."),
        ({"guidance": "high"}, "mine.yaml: guidance: 'high' is not of type 'number'."),
        ({"models": {"m": {"repo": "a/b"}}}, "mine.yaml: models/m: {"),
        ({"models": {"m": {"folder": "x", "revison": "a"}}}, "models/m/revison: the key"),
        ({"samplings": {"e": {"kind": "early", "steps": 3}}}, "samplings/e: 'gamma' is a required"),
        ({"datasets": {"d": {}}}, "mine.yaml: datasets/d: {"),
        ({"datasets": {"d": {"prompts": "p.tsv", "seeds": 0}}}, "datasets/d/seeds: 0 is less than"),
        ({"datasets": {"d": {"images": "i", "seeds": 2.0}}}, "'integer', 'array'; write 2."),
        ({"datasets": {"d": {"coco": "c.json", "seeds": [2**32]}}}, "datasets/d/seeds/0: 42949672"),
        ({"datasets": {"d": {"prompts": "p.tsv", "coco": "c.json"}}}, "is not one source: prompts"),
        ({"datasets": {"d": {"visual_genome": "r.json", "split": "x"}}}, "is not one source"),
        ({"datasets": {"d": {"images": "i", "split": "train"}}}, "is not one source"),
        ({"datasets": {"d": {"scenes": 0}}}, "datasets/d/scenes: 0 is less than"),
        ({"datasets": {"d": {"scenes": 3, "images": "i"}}}, "is not one source"),
        ({"datasets": {"d": {"prompts": "p.tsv", "seed": 1}}}, "is not one source"),
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
        (
            {"explain": {"m": {"function": "no colon"}}},
            "m/function: 'no colon' is not a module and a name in it",
        ),
        ({"explain": {"m": {"function": "a:b", "x": {"deep": 1}}}}, "mine.yaml: explain/m/x: "),
        ({"explain": {"m": {"function": "a:b", "steps": []}}}, "explain/m/steps: [] should be non"),
        (
            {"explain": {"m": {"function": "a:b", "samplings": ["u", "u"]}}},
            "explain/m/samplings: ['u', 'u'] has non-unique elements.",
        ),
        ({"games": {"samplings": []}}, "games/samplings: [] should be non-empty."),
        ({"games": {"steps": [2, 2]}}, "games/steps: [2, 2] has non-unique elements."),
        ({"games": {"steps": {"left": [0.5, 1.0]}}}, "games/steps/left/1: 1.0 is greater than or"),
        ({"games": {"steps": {"left": [0.5, 0.5]}}}, "games/steps/left: [0.5, 0.5] has non-unique"),
        ({"games": {"steps": {"left": []}}}, "games/steps/left: [] should be non-empty."),
        ({"games": {"steps": {"lft": [0.5]}}}, "games/steps/lft: the key is not known, did you"),
        ({"games": {"steps": [0.5]}}, "games/steps/0: 0.5 is not of type 'integer'"),
        ({"explain": {"m": {"function": "a:b", "steps": {}}}}, "steps: 'left' is a required prop"),
        ({"games": {"deletion": "zoro"}}, "mine.yaml: games/deletion: 'zoro' is not a substrate"),
        ({"games": {"insertion": ["zero", "nois"]}}, "games/insertion/1: 'nois' is not one of ["),
        ({"games": {"deletion": []}}, "games/deletion: [] should be non-empty."),
        ({"games": {"scores": ["clip"]}}, "mine.yaml: games/scores/0: 'clip' is not one of ["),
        ({"games": {"draws": 0}}, "games/draws: 0 is less than the minimum of 1."),
        ({"games": {"moves": 1}}, "games/moves: 1 is less than the minimum of 2."),
        ({"games": {"moves": 8.0}}, "games/moves: 8.0 is not of type 'integer'"),
        ({"guidance": float("nan")}, "mine.yaml: guidance: nan is not a finite number."),
        ({"statistics": {"seed": 1.0}}, "statistics/seed: 1.0 is not of type 'integer'; write 1."),
        ({"study": 2024}, "study: 2024 is not of type 'string'; write it in quotes."),
        ({"study": "tiny\n"}, r"study: 'tiny\n' is not a name of letters, digits, - and _"),
        ({"models": {"m\n": {"folder": "x"}}}, r"models: 'm\n' is not a name of letters, digits"),
        ({"datasets": {False: {"prompts": "p.tsv"}}}, "datasets: the key False (to YAML no"),
        ({"scheduler": {"order": 2.0}}, "scheduler/order: 2.0 is not of type 'integer'; write 2."),
        ({"scheduler": {"name": "eulr"}}, "'ddpm'], did you mean euler."),
        (
            {"samplings": {"u": {"kind": "custom", "timesteps": [9, 5], "steps": 3}}},
            "samplings/u/steps: the key does not go with the others.",
        ),
        (
            {"probe": {"families": {"f": {"concepts": ["a", "b"], "templates": ["{x}"]}}}},
            "families/f/templates/0: '{x}' is not a sentence with {} once and without other braces",
        ),
        (
            {"probe": {"families": {"f": {"concepts": ["a", "b"], "templates": ["a photo"]}}}},
            "families/f/templates/0: 'a photo' is not a sentence with {} once",
        ),
        ({"probe": {"families": {}}}, "probe/families: {} "),
        ({"probe": {"families": {"f": {"concepts": []}}}}, "probe/families/f/concepts: [] "),
        (
            {"probe": {"families": {"f": {"concepts": ["a", "a"]}}}},
            "probe/families/f/concepts: ['a', 'a'] has non-unique elements",
        ),
        (
            {"samplings": {"u": {"kind": "uniform", "steps": 4, "end": "uniform"}}},
            "samplings/u/end: the key does not go with the others.",
        ),
        (
            {"samplings": {"e": {"kind": "early", "steps": 4, "gamma": 60, "end": 3}}},
            "samplings/e/end: 'uniform' was expected.",
        ),
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
        ({"samplings": ["unifrm"]}, "there is no sampling 'unifrm', did you mean uniform."),
        ({"steps": [5]}, "explain/m/steps: sampling uniform has 4 steps, not 5."),
        (
            {"steps": {"left": [0.9, 0.8, 0.7, 0.6, 0.5]}},
            "explain/m/steps: sampling uniform has 4 steps, not 5.",
        ),
    ],
)
def test_references(entry, message):
    config = small() | {"explain": {"m": {"function": "own:map", **entry}}}
    check(config, SCHEMA, "mine.yaml")
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        check_references(config, "mine.yaml")


def test_what_a_method_learns_from_is_by_head_on_its_samplings():
    def config(**learnt):
        explain = {"heads": {"heads": "all", "samplings": None} | learnt}
        explain["mine"] = {"learnt_from": "heads", "samplings": ["uniform"]}
        return {"samplings": {"uniform": {}, "early": {}}, "explain": explain}

    check_learning(config(), "c.yaml")
    for learnt in ({"heads": "mean"}, {"samplings": ["early"]}):
        message = "^c.yaml: explain/mine/learnt_from: 'heads' is no method with heads: all on unif"
        with pytest.raises(ValueError, match=message):
            check_learning(config(**learnt), "c.yaml")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"samplings": ["unifrm"]},
            "samplings: there is no sampling 'unifrm', did you mean uniform.",
        ),
        ({"families": ["color"]}, "families: probe has no family 'color', did you mean colour."),
        ({"families": ["object"]}, "families: probe has no family 'object'."),
        ({"families": []}, "families: [] should be non-empty."),
        ({"every": 0}, "every: 0 is less than the minimum of 1."),
        ({"decided": {"prompts": ["own"]}}, "decided/prompts/0: 'own' is not one of"),
        ({"earliest": {"distance": 0}}, "earliest/distance: 0 is less than or equal to"),
        (
            {"earliest": {"distance": 1.5}},
            "earliest/distance: 1.5 is greater than the maximum of 1",
        ),
        ({"earliest": {"pairs": 0}}, "earliest/pairs: 0 is less than the minimum of 1."),
    ],
)
def test_what_cannot_be_swapped_is_refused(entry, message):
    config = small() | {"commitment": entry}
    config["probe"] = {"families": {"colour": {"concepts": ["red", "blue"]}}}

    def parse():
        check(config, SCHEMA, "mine.yaml")
        check_references(config, "mine.yaml")
        check_families(config, "mine.yaml")

    with pytest.raises(ValueError, match="^mine.yaml: commitment/") as caught:
        parse()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["contrast", "linear_probes"])
def test_readers_that_there_are_not(key):
    config = small() | {key: {"reader": "untraind"}}
    config["probe"] |= {"readers": {"untrained": {"function": "own:read"}}}
    check(config, SCHEMA, "mine.yaml")
    message = f"^mine.yaml: {key}/reader: .*'untraind'.*, did you mean untrained"
    with pytest.raises(ValueError, match=message):
        check_references(config, "mine.yaml")


@pytest.mark.parametrize("key", ["commitment", "nulls"])
def test_samplings_that_clocks_are_read_on_are_the_studys(key):
    config = small() | {key: {"samplings": ["unifrm"]}}
    check(config, SCHEMA, "mine.yaml")
    with pytest.raises(ValueError, match=f"^mine.yaml: {key}/samplings: there is no sampling"):
        check_references(config, "mine.yaml")


@pytest.mark.parametrize("key", ["games", "convergence", "controls", "linear_probes"])
def test_references_beside_methods(key):
    for entry, message in (
        ({"samplings": ["latter"]}, f"{key}/samplings: there is no sampling 'latter'."),
        ({"steps": [5]}, f"{key}/steps: sampling uniform has 4 steps, not 5."),
    ):
        config = small() | {key: entry}
        check(config, SCHEMA, "mine.yaml")
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            check_references(config, "mine.yaml")


@pytest.mark.parametrize("place", ["folder", "repo"])
@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"kind": "custom", "timesteps": [10, 10, 5]}, "timesteps: a custom sampling must descend"),
        ({"kind": "custom", "timesteps": [5, 10]}, "timesteps: a custom sampling must descend"),
        ({"kind": "custom", "timesteps": [1000, 10]}, "timesteps: 1000 is above 999, the model's"),
        ({"kind": "uniform", "steps": 1000}, "steps: 1000 of 1000 trained time steps; 999 are"),
        ({"kind": "early", "steps": 200, "gamma": 1}, "gamma: 1 makes early sampling with 200"),
        ({"kind": "latter", "steps": 2, "gamma": 1.0e17}, "gamma: 1e+17 makes latter sampling"),
        ({"kind": "log_snr", "steps": 2, "start": 3, "end": -3}, "end: log-SNR -3 is not above"),
        ({"kind": "custom", "timesteps": [999, 0]}, ""),
        ({"kind": "latter", "steps": 20, "gamma": 60}, ""),
        ({"kind": "log_snr", "steps": 24, "end": 5}, ""),
    ],
)
def test_a_sampling_has_time_steps_that_descend(place, sampling, message):
    config = small() | {"samplings": {"s": sampling}}
    if place == "repo":
        config["models"] = {"m": {"repo": "a/b", "revision": "0" * 40}}
    check(config, SCHEMA, "mine.yaml")

    def study():
        check_references(config, "mine.yaml")
        if place == "folder":
            check_samplings(ROOT / "resources/models/pipeline", config["samplings"])

    if not message:
        study()
        return
    begin = "samplings/s/" if place == "folder" else "mine.yaml: samplings/s/"
    with pytest.raises(ValueError, match=f"^{begin}") as caught:
        study()
    assert message in str(caught.value)


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
