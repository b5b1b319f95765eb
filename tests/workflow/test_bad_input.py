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
            "gamma: 60}\n  latter",
            "gamma: sixty}\n  latter",
            "config/config.yaml: samplings/early/gamma: 'sixty' is not of type 'number'.",
        ),
        (
            "config/prompts.tsv",
            "small-dog\t",
            "big-cat\t",
            "config/prompts.tsv, row 3, column prompt_id: 'big-cat' occurs twice.",
        ),
        (
            "config/prompts.tsv",
            "0\tdog\t",
            "0\thorse\t",
            "config/prompts.tsv, row 3, column subject: 'horse' does not occur in the prompt",
        ),
    ],
)
def test_bad_input_stops_in_one_sentence(fresh, name, old, new, message):
    fresh.edit(name, old, new)
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert message in printed
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()


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
    assert "generate failed: prompt_id big-cat: the prompt" in printed  # once more, at the end
    assert "Traceback" not in printed  # it is in the log
