"""Composed scenes, whose masks are exact, as a dataset of the shipped models' world.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stepscope.embedded import draws
from stepscope.study.datasets.row import Record, Row


def rows(entry: Mapping[str, Any]) -> Iterator[Row]:
    """One row a scene: `entry["scenes"]` of them, drawn by `entry["seed"]`."""
    for scene in draws.drawn(entry["scenes"], entry.get("seed", 0)):
        where = f"scene {scene.number} of seed {scene.seed}"
        yield Row(scene.prompt_id, scene.caption, where, roles=scene.roles)


def is_exact(entry: Mapping[str, Any]) -> bool:
    """Whether a dataset's entry traces scenes as they are composed, of which masks are exact."""
    return "scenes" in entry and entry["trace"] != "generate"


def placed(
    records: Iterable[Record], entry: Mapping[str, Any], results: Path, name: str
) -> list[Record]:
    """Records of the dataset `name`, of those that are exact with their picture and masks.

    These are where the rule `compose` puts them, below `results`.
    """
    if not is_exact(entry):
        return list(records)
    folder = results / "scenes" / name
    return [
        record
        | {
            "image": str(folder / f"{record['prompt_id']}.png"),
            "masks": str(folder / record["prompt_id"]),
        }
        for record in records
    ]
