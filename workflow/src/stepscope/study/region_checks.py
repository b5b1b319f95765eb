"""Whether what finds regions knows any word of a study's prompts, before anything is computed.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepscope.language import OBJECTS, is_thing, numbers_of, words
from stepscope.study.datasets.row import Record

SHOWN = 8  # labels that an error shows


def check_regions(
    ground: Mapping[str, Any],
    prompts: Mapping[str, Sequence[Record]],
    folder_at: Callable[[str], Path],
    where: str,
) -> None:
    """Refuse a segmenter that would find no word of any prompt: all masks would be NaN.

    `prompts` are records by dataset. Labels are those of a folder's config.json; a segmenter of
    the hub has none before it is fetched. The ValueError begins with the file `where`.
    """
    records = [record for of_dataset in prompts.values() for record in of_dataset]
    if not records:  # all datasets bring masks that are exact
        return
    advice = (
        "so that no word has a region; name another segmenter, or do without regions by "
        "{kind: masks} where the datasets give none"
    )
    if ground["kind"] == "text_segmenter":
        if not any(role in record["roles"] for record in records for role in OBJECTS):
            raise ValueError(
                f"{where}: ground: a text_segmenter is asked with subjects and objects, and no "
                f"prompt has either, {advice}."
            )
    elif ground["kind"] == "segmenter" and "folder" in ground:
        labels = labels_of(folder_at(ground["folder"]))
        if labels and not any(map(set(numbers_of(labels)).intersection, map(things, records))):
            shown = ", ".join([*labels.values()][:SHOWN]) + ", ..." * (len(labels) > SHOWN)
            raise ValueError(
                f"{where}: ground/folder: none of the labels of {ground['folder']} ({shown}) is a "
                f"word of the prompts, {advice}."
            )


def labels_of(folder: Path) -> dict[int, str]:
    """Labels of a segmenter's folder by number; none of one that is torn."""
    try:
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
        return {int(number): label.lower() for number, label in stated.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # the job that loads it says so


def things(record: Record) -> Iterable[str]:
    """Words of a prompt that may name an object, as they are compared."""
    role_of = {word: role for role, text in record["roles"].items() for word in words(text)}
    return (word for word in words(record["prompt"]) if is_thing(word, role_of.get(word, "")))
