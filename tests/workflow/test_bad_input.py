"""Bad input stops the workflow in one sentence."""

import shutil

import pytest


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
    (fresh.folder / "broken").mkdir()
    shutil.copytree(
        fresh.folder / "models" / "pipeline" / "tokenizer", fresh.folder / "broken" / "tokenizer"
    )
    shutil.copy(fresh.folder / "models" / "pipeline" / "model_index.json", fresh.folder / "broken")
    fresh.edit("config/config.yaml", "folder: models/pipeline", "folder: broken")
    printed = fresh.snakemake("results/tiny/traces/tiny/pairs/uniform/0.zarr", fails=True)
    assert "prompt_id big-cat" in printed
    assert "the text encoder takes 24" in printed
