"""Prompt tables: what is accepted, and the one sentence that refuses the rest."""

from pathlib import Path

import pytest
import yaml

from stepscope import datasets

ROOT = Path(__file__).parents[2]
HEADER = "prompt_id\tprompt\tseed\tsubject\n"


def read(tmp_path, text, name="prompts.tsv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return datasets.read(str(path), **options)


def test_seeds_roles_and_samples(tmp_path):
    (record,) = read(tmp_path, HEADER + "one\ta red dog\t0, 1,2\tdog\n")
    assert record["seeds"] == [0, 1, 2]
    assert record["roles"] == {"subject": "dog"}
    assert [seed for _, seed in datasets.samples([record])] == [0, 1, 2]


def test_csv_with_quotes_and_byte_order_mark(tmp_path):
    text = '\ufeffprompt_id,prompt,seed\none,"on a hill, a ""dog""",3\n\n'
    (record,) = read(tmp_path, text, "prompts.csv")
    assert record["prompt"] == 'on a hill, a "dog"'


def test_batch_is_stable_under_insertion(tmp_path):
    rows = [f"p{number}\ta dog\t0\t\n" for number in range(20)]

    def batches():
        records = read(tmp_path, HEADER + "".join(rows), batches=4)
        return {record["prompt_id"]: record["batch"] for record in records}

    before = batches()
    rows.insert(0, "new\ta dog\t0\t\n")
    after = batches()
    assert {name: after[name] for name in before} == before
    assert len(set(before.values())) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt_id\tprompt\nx\ta dog\n", "row 1: column seed is missing."),
        (
            "prompt_id\tprompt\tseed\tsubjct\n",
            "column 'subjct' is not known, did you mean subject.",
        ),
        (HEADER + "x\ta dog\t0\t\nx\ta cat\t0\t\n", "row 3, column prompt_id: 'x' occurs twice."),
        (HEADER + "x\t \t0\t\n", "row 2, column prompt: the cell is empty."),
        (HEADER + "x y\ta dog\t0\t\n", "row 2, column prompt_id: 'x y' is no slug"),
        (HEADER + "x\ta dog\tone\t\n", "row 2, column seed: 'one' is neither"),
        (HEADER + "x\ta dog\t1,1\t\n", "row 2, column seed: '1,1' names a seed twice."),
        (HEADER + "x\ta dog\t0\tcat\n", "'cat' does not occur in the prompt 'a dog'."),
        (HEADER + "x\ta dog\t0\tdo\n", "row 2, column subject: 'do' does not occur"),
        (HEADER.encode() + "x\tein Bär\t0\t\n".encode("latin-1"), "row 2: the file is not UTF-8."),
        (HEADER, "the table has no rows."),
        ("prompt_id\tprompt\tseed\timage\nx\ta\t0\tno.png\n", "column image: no.png: No such file"),
        (
            "prompt_id\tprompt\tseed\tmasks\nx\ta\t0\tnowhere\n",
            "column masks: nowhere is no folder.",
        ),
    ],
)
def test_refusals_name_file_row_and_column(tmp_path, text, message):
    with pytest.raises(ValueError, match="prompts.tsv") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_unreadable_picture(tmp_path):
    (tmp_path / "x.png").write_text("not a picture")
    with pytest.raises(ValueError, match="row 2, column image: .*is no picture"):
        read(tmp_path, f"prompt_id\tprompt\tseed\timage\nx\ta\t0\t{tmp_path / 'x.png'}\n")


def test_missing_file():
    with pytest.raises(ValueError, match="nowhere.tsv: there is no such file"):
        datasets.read("nowhere.tsv")


def test_schema_lists_the_columns():
    schema = yaml.safe_load((ROOT / "workflow/schemas/prompts.schema.yaml").read_text())
    assert tuple(schema["properties"]) == datasets.COLUMNS
    assert tuple(schema["required"]) == datasets.REQUIRED
