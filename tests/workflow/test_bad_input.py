"""Bad input stops the workflow in one sentence."""

import json
import shutil

import pytest
from diffusers import EDMEulerScheduler


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "config/config.yaml",
            "guidance: 4.0",
            "guidence: 4.0",
            "config/config.yaml: guidence: the key is not known, did you mean guidance.",
        ),
        (
            "config/config.yaml",
            "masks: 20",
            "mask: 20",
            "config.yaml: explain/df_rise/mask: df_rise has no such key, did you mean masks.",
        ),
        (
            "config/config.yaml",
            "guidance: 4.0",
            "guidance: [4.0",
            "config/config.yaml, line 13: the file is no YAML",
        ),
        (
            "config/config.yaml",
            "guidance: 4.0",
            "guidance: 4.0\nheight: 32",
            "the model tiny are 8 x 16; set height and width to 40 or more.",
        ),
        (
            "config/config.yaml",
            "{folder: models/pipeline}",
            '{folder: models/pipeline, family: "own:Family"}',
            "config/config.yaml: models/tiny/family: there is no module own, neither below",
        ),
        (
            "config/config.yaml",
            "folder: models/clip",
            "folder: models/pipeline",
            "config.yaml: probe/model: models/pipeline/open_clip_config.json is missing.",
        ),
        (
            "config/prompts.tsv",
            "small-dog\t",
            "big-cat\t",
            "config/prompts.tsv, row 3, column prompt_id: 'big-cat' occurs twice.",
        ),
    ],
)
def test_bad_input_stops_in_one_sentence(fresh, name, old, new, message):
    fresh.edit(name, old, new)
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert message in printed
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()


def test_a_scheduler_that_is_not_known_stops_when_the_study_is_read(fresh):
    shutil.copytree(fresh.folder / "models" / "pipeline", fresh.folder / "edm")
    EDMEulerScheduler().save_pretrained(fresh.folder / "edm" / "scheduler")
    index = json.loads((fresh.folder / "edm" / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "EDMEulerScheduler"]
    (fresh.folder / "edm" / "model_index.json").write_text(json.dumps(index))
    fresh.edit("config/config.yaml", "folder: models/pipeline", "folder: edm")
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert "config/config.yaml: models/tiny: edm/scheduler/scheduler_config.json: sched" in printed
    assert "EDM's preconditioning" in printed
    assert "Traceback" not in printed


def test_a_segmenter_that_knows_no_word_of_the_prompts_stops_the_study(fresh):
    (fresh.folder / "config" / "prompts.tsv").write_text(
        "prompt_id\tprompt\tseed\tattribute\nzebra\ta red zebra on a plain background\t0\tred\n"
    )
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert "config/config.yaml: ground/folder: none of the labels of models/segmenter (" in printed
    assert "Traceback" not in printed


def test_a_given_study_is_read_as_it_is_written_and_never_merged_over_the_default(fresh):
    own = fresh.folder / "own.yaml"
    text = (fresh.folder / "config/config.yaml").read_text()
    own.write_text(text + "guidance: 5.0\n")
    printed = fresh.snakemake("--dry-run", "--configfile", str(own), "--", "all", fails=True)
    line = len(text.splitlines()) + 1
    assert f"own.yaml, line {line}: the key guidance occurs twice, first in line" in printed
    own.write_text(text.replace("study: tiny\n", ""))
    printed = fresh.snakemake("--dry-run", "--configfile", str(own), "--", "all", fails=True)
    assert "own.yaml: 'study' is a required property." in printed


def test_prompt_that_is_too_long_stops_before_a_model_loads(fresh):
    fresh.edit("config/prompts.tsv", "a big cat on", "a cat " * 30 + "a big cat on")
    shutil.copytree(fresh.folder / "models" / "pipeline", fresh.folder / "broken")
    fresh.edit("broken/unet/config.json", '"layers_per_block": 1', '"layers_per_block": 2')
    fresh.edit("config/config.yaml", "folder: models/pipeline", "folder: broken")
    printed = fresh.snakemake("results/tiny/traces/tiny/pairs/uniform/0.zarr", fails=True)
    assert "config/prompts.tsv, row 2, column prompt: prompt_id big-cat: the prompt" in printed
    assert "the text encoder takes 24" in printed
    assert "generate failed: config/prompts.tsv, row 2" in printed  # once more, at the end
    assert "Traceback" not in printed  # it is in the log
