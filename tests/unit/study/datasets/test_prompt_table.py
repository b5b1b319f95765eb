"""Prompt tables: what is accepted, and the one sentence that refuses the rest."""

import pytest
import yaml
from PIL import Image

from stepscope.study.datasets import prompt_table
from support.package import ROOT

HEADER = "prompt_id\tprompt\tseed\tsubject\n"


def read(tmp_path, text, name="prompts.tsv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return prompt_table.read(str(path), **options)


def test_seeds_and_roles(tmp_path):
    (record,) = read(tmp_path, HEADER + "one\ta red dog\t0, 1,2\tdog\n")
    assert record["seeds"] == [0, 1, 2]
    assert record["roles"] == {"subject": "dog"}


def test_csv_with_quotes_and_byte_order_mark(tmp_path):
    text = '\ufeffprompt_id,prompt,seed\none,"on a hill, a ""dog""",3\n\n'
    (record,) = read(tmp_path, text, "prompts.csv")
    assert record["prompt"] == 'on a hill, a "dog"'


def test_a_table_as_spreadsheets_write_it(tmp_path):
    text = "\ufeffprompt_id\tprompt\tseed\tsubject\t\t\r\n"
    text += 'one\t"Un ""Chat"", à l\'ombre 🐱!"\t"0,1"\tchat\t\t\r\n\t\t\t\t\t\r\n'
    (record,) = read(tmp_path, text)
    assert record["prompt"] == 'Un "Chat", à l\'ombre 🐱!'
    assert record["seeds"] == [0, 1]
    assert record["roles"] == {"subject": "chat"}


def test_accents_count_the_same_however_they_are_written(tmp_path):
    (record,) = read(tmp_path, HEADER + "one\ta cafe\u0301\t0\tcaf\u00e9\n")
    assert record["prompt"] == "a caf\u00e9"


def test_a_subset_of_a_table_is_the_same_whatever_its_order(tmp_path):
    rows = [f"p{number}\ta dog\t0\t\n" for number in range(20)]

    def drawn(limit, seed=0):
        records = read(tmp_path, HEADER + "".join(rows), limit=limit, subset_seed=seed)
        return [record["prompt_id"] for record in records]

    first = drawn(5)
    rows.reverse()
    assert drawn(5) == first
    assert drawn(8)[:5] == first
    assert drawn(5, seed=1) != first
    assert len(drawn(99)) == 20


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
        ("prompt_id\tseed\nx\t0\n", "row 1: column prompt is missing."),
        ("prompt_id\tprompt\nx\ta dog\n", "row 1: column seed is missing, and the dataset's entr"),
        (HEADER + "x\ta dog\t\t\n", "row 2, column seed: the cell is empty."),
        (
            "prompt_id\tprompt\tseed\tsubjct\n",
            "column 'subjct' is not known, did you mean subject.",
        ),
        (HEADER + "x\ta dog\t0\t\nx\ta cat\t0\t\n", "row 3, column prompt_id: 'x' occurs twice."),
        (HEADER + "x\t \t0\t\n", "row 2, column prompt: the cell is empty."),
        (HEADER + "x y\ta dog\t0\t\n", "row 2, column prompt_id: 'x y' is no slug"),
        (HEADER + "x\ta dog\tone\t\n", "row 2, column seed: 'one' is neither"),
        (HEADER + "x\ta dog\t1,1\t\n", "row 2, column seed: '1,1' names a seed twice."),
        (HEADER + f"x\ta dog\t0,{2**32}\t\n", f"row 2, column seed: {2**32} is larger than"),
        (HEADER + "x\ta dog\t0\tcat\n", "'cat' does not occur in the prompt 'a dog'."),
        (
            "prompt_id\tprompt\tseed\tsubject\tobject\nx\ta dog\t0\tdog\tdog\n",
            "row 2, column subject: 'dog' is also the object, and a word has one role.",
        ),
        (
            "prompt_id\tprompt\tseed\tsubject\tbackground\n"
            "x\tan orange on an orange background\t0\torange\torange\n",
            "row 2, column subject: 'orange' is also the background, and a word has one role.",
        ),
        (HEADER + "x\ta dog\t0\tdo\n", "row 2, column subject: 'do' does not occur"),
        (HEADER.encode() + "x\tein Bär\t0\t\n".encode("latin-1"), "row 2: the file is not UTF-8."),
        (HEADER, "the table has no rows."),
        (HEADER + 'x\t"a dog\t0\t\ny\ta cat\t0\t\n', "row 3: the quotes are wrong"),
        (HEADER + 'x\t"a" dog\t0\t\n', "row 2: the quotes are wrong"),
        (HEADER + "x\t...\t0\t\n", "row 2, column prompt: '...' holds no word."),
        (HEADER + "x\t❤️ 👨‍👩‍👧\t0\t\n", "row 2, column prompt: "),
        (HEADER + "x\ta\0dog\t0\t\n", r"row 2, column prompt: 'a\x00dog' holds '\x00'"),
        (HEADER + f"x\ta dog\t{'9' * 5000}\t\n", "row 2, column seed: '999"),
        (HEADER + "x\tएक लाल बिल्ली\t0\tल\n", "row 2, column subject: 'ल' does not occur"),
        (HEADER + "x\ta dog\t0\t🐱\n", "row 2, column subject: '🐱' holds no word."),
        (
            "prompt_id\tprompt\tseed\timage\nx\ta\t0\tno.png\n",
            "column image: no.png: there is no such",
        ),
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


@pytest.mark.parametrize("seeds", [2, [0, 1]])
def test_seeds_are_in_the_table_or_in_the_entry(tmp_path, seeds):
    text = HEADER + "x\ta dog\t0\t\ny\ta cat\t\t\n"
    message = (
        r"p.tsv, row 1: column seed: the dataset's entry has seeds \(.*\) too; leave one of .*\.$"
    )
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, "p.tsv", seeds=seeds)


@pytest.mark.parametrize(
    ("name", "header", "wanted"),
    [
        ("p.tsv", "prompt_id prompt seed", "tabs"),
        ("p.tsv", "prompt_id  prompt  seed  subject", "tabs"),
        ("p.TSV", "prompt_id,prompt,seed", "tabs"),
        ("p.csv", "prompt_id;prompt;seed", "commas"),  # as spreadsheets of some countries write it
        ("p.csv", "prompt_id\tprompt\tseed", "commas"),
    ],
)
def test_other_separators_are_named(tmp_path, name, header, wanted):
    with pytest.raises(ValueError, match=f"row 1: the columns of a .* are separated by {wanted}"):
        read(tmp_path, f"{header}\nx 1 0\n", name)


@pytest.mark.parametrize("name", ["p.csv", "p.CSV", "p.Csv"])
def test_a_csv_is_one_whatever_the_case_of_its_ending(tmp_path, name):
    (record,) = read(tmp_path, "prompt_id,prompt,seed\none,a dog,3\n", name)
    assert (record["prompt"], record["seeds"]) == ("a dog", [3])


@pytest.mark.parametrize(
    ("prompt", "role"),
    [
        ("एक लाल बिल्ली", "बिल्ली"),
        ("a cafe\u0301", "CAF\u00c9"),
        ("a dog\u2019s t\u2011shirt", "dog's T-shirt"),
        ("an İstanbul cat", "İSTANBUL"),
    ],
)
def test_roles_are_words_in_any_form(tmp_path, prompt, role):
    (record,) = read(tmp_path, HEADER + f"one\t{prompt}\t0\t{role}\n")
    assert set(record["roles"]) == {"subject"}


def test_masks_are_pictures_of_words_of_the_prompt(tmp_path):
    text = f"prompt_id\tprompt\tseed\tmasks\nx\ta cat\t0\t{tmp_path / 'masks'}\n"
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "dog.png").write_text("another prompt's")
    with pytest.raises(ValueError, match=r"row 2, column masks: .*masks has no <word>.png"):
        read(tmp_path, text)
    (masks / "Cat.PNG").write_text("not a picture")
    with pytest.raises(ValueError, match=r"row 2, column masks: .*Cat.PNG is no picture"):
        read(tmp_path, text)
    Image.new("L", (2, 2), 255).save(masks / "Cat.PNG")
    (record,) = read(tmp_path, text)
    assert record["masks"] == str(masks)


def test_unreadable_picture(tmp_path):
    (tmp_path / "x.png").write_text("not a picture")
    with pytest.raises(ValueError, match="row 2, column image: .*is no picture"):
        read(tmp_path, f"prompt_id\tprompt\tseed\timage\nx\ta\t0\t{tmp_path / 'x.png'}\n")


def test_missing_file():
    with pytest.raises(ValueError, match="nowhere.tsv: there is no such file"):
        prompt_table.read("nowhere.tsv")


def test_schema_lists_the_columns():
    schema = yaml.safe_load((ROOT / "workflow/schemas/prompts.schema.yaml").read_text())
    assert tuple(schema["properties"]) == prompt_table.COLUMNS
    assert tuple(schema["required"]) == prompt_table.REQUIRED
