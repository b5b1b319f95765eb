"""The job's look at its prompts, before a model's weights load."""

import pytest

from stepscope.models.families.base import Family
from stepscope.models.words import Text
from stepscope.tracing import generate
from support import tiny

MODEL = {"folder": "model"}
LONG = "cat " * 23  # 25 tokens with start and end, of 24


@pytest.mark.parametrize(
    ("negative", "prompts", "message"),
    [
        (LONG, ["a cat"], r"^negative_prompt: the prompt .* has 25 tokens"),
        (
            "",
            ["a cat", LONG],
            r"p.tsv, row 3, column prompt: prompt_id p1: the prompt .* 25 tokens",
        ),
        ("dog", [LONG, "a cat"], r"p.tsv, row 2, column prompt: prompt_id p0: the prompt"),
    ],
)
def test_a_text_that_would_be_cut_is_refused_by_key_or_row(
    tmp_path, monkeypatch, negative, prompts, message
):
    texts = (Text(tiny.tokenizer(), tiny.LENGTH),)
    monkeypatch.setattr(generate.pipelines, "load_texts", lambda model: (Family, texts))
    table = tmp_path / "p.tsv"
    rows = [f"p{number}\t{prompt}\t0\n" for number, prompt in enumerate(prompts)]
    table.write_text("prompt_id\tprompt\tseed\n" + "".join(rows))
    records = [{"prompt_id": f"p{n}", "prompt": prompt} for n, prompt in enumerate(prompts)]
    dataset = {"prompts": str(table), "limit": 2, "batches": 2}
    with pytest.raises(ValueError, match=message):
        generate.check_prompts(MODEL, negative, records, dataset)
    generate.check_prompts(MODEL, LONG[4:], [{"prompt_id": "p", "prompt": LONG[4:]}], dataset)
