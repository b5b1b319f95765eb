"""Seeds of prompts: drawn for each alone, and a word when all prompts share their noise."""

import json

import pytest
import torch

from stepscope.study.datasets import published, seeds
from support.datasets import karpathy, official, picture, relationships, saved

DRAWN = {"cat": [1787934258, 188650575], "dog": [758185294, 1525109868]}  # of any machine
PAIR = ("p42618", "p61244")  # their first seeds are the same


def table(folder, reverse):
    """A prompt table without a column of seeds."""
    rows = ["cat\ta cat\n", "dog\ta dog\n"][:: -1 if reverse else 1]
    return {"prompts": saved(folder, "prompt_id\tprompt\n" + "".join(rows), "p.tsv")}


def captioned(folder, reverse):
    """A folder of captioned pictures."""
    rows = [json.dumps({"file_name": f"{name}.png", "text": name}) for name in ("cat", "dog")]
    for name in ("cat", "dog"):
        picture(folder / f"{name}.png")
    saved(folder, "\n".join(rows[:: -1 if reverse else 1]), "metadata.jsonl")
    return {"images": str(folder)}


def listed(key, data):
    """A maker of a dataset in JSON whose entry names it by `key`."""

    def make(folder, reverse):
        content = data()
        rows = content if isinstance(content, list) else content[[*content][-1]]
        if reverse:
            rows.reverse()
        return {key: saved(folder, content)}

    return make


def records_of(entry):
    """Seeds of a dataset's prompts, by their prompt_id."""
    records = published.read_all({"d": entry}, entry.pop("folder"), "1")["d"]
    return {record["prompt_id"]: record["seeds"] for record in records}


@pytest.mark.parametrize(
    "make",
    [
        table,
        captioned,
        listed("coco", karpathy),
        listed("coco", official),
        listed("visual_genome", relationships),
    ],
    ids=["prompts", "images", "karpathy", "official", "visual_genome"],
)
def test_every_source_draws_or_names_the_seeds_of_its_prompts(make, tmp_path):
    def read(reverse=False, **keys):
        return records_of(make(tmp_path, reverse) | {"folder": str(tmp_path / "kept")} | keys)

    drawn = read(seeds=2)
    every = [seed for own in drawn.values() for seed in own]
    assert len(drawn) > 1
    assert len(set(every)) == len(every) == 2 * len(drawn)
    assert all(0 <= seed < 2**31 for seed in every)
    assert read(reverse=True, seeds=2, batches=3) == drawn
    assert {name: own[:2] for name, own in read(seeds=3).items()} == drawn
    (alone,) = read(seeds=2, limit=1).items()
    assert drawn[alone[0]] == alone[1]
    assert {tuple(own) for own in read(seeds=[4, 1]).values()} == {(4, 1)}
    if make is table:
        assert drawn == DRAWN


def test_two_prompts_that_draw_the_same_seed_get_two():
    first, second = (seeds.of_prompts([name], 2)[name] for name in PAIR)
    assert first[0] == second[0]
    for names in (PAIR, PAIR[::-1], (*PAIR, "cat", "dog")):
        drawn = seeds.of_prompts(names, 2)
        assert drawn[PAIR[0]] == first
        assert drawn[PAIR[1]][0] == second[1]
        assert len({seed for own in drawn.values() for seed in own}) == 2 * len(names)


def test_no_seed_is_larger_than_what_decides_the_noise():
    noises = [
        torch.randn(8, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 1, seeds.LARGEST, seeds.LARGEST + 1)
    ]
    assert torch.equal(noises[0], noises[3])
    assert not any(torch.equal(noises[0], other) for other in noises[1:3])


@pytest.mark.parametrize(
    ("of_prompts", "trace", "noises"),
    [
        ([[0, 1], [0, 1], [1, 0]], "generate", 2),
        ([[0], [0]], "noise", 1),
        ([[0, 1], [0], [1]], "generate", 2),  # none has a noise of its own
        ([[0], [0]], "invert", 0),  # their noises are found, not drawn
        ([[0, 1], [0, 2]], "generate", 0),
        ([[0], [1]], "generate", 0),
        ([[0, 1]], "generate", 0),
    ],
)
def test_prompts_that_share_their_noise_are_warned_of_once(of_prompts, trace, noises):
    records = [{"seeds": own} for own in of_prompts]
    entries = {"d": {"prompts": "p.tsv", "trace": trace}, "own": {"coco": "c.json"}}
    own = [{"seeds": [number]} for number in range(3)]
    sentences = list(published.warnings(entries, {"d": records, "own": own}))
    assert len(sentences) == (noises > 0)
    for sentence in sentences:
        assert sentence.startswith(
            f"p.tsv: all {len(records)} prompts start from the same {noises}"
        )
        assert "intervals over prompts leave the noise out" in sentence
        assert f"`seeds: {noises}` in the entry datasets/d" in sentence
        assert sentence.count(".") == 2  # the file's and the sentence's
