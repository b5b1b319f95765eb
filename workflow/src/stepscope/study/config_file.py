"""A study's file as it is written: what reading it into a mapping would pass over in silence.

A Snakefile imports this module, so it uses only what Snakemake itself needs.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from stepscope.study.datasets.files import text_of

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is compiled, and not everywhere


def check_file(path: str) -> None:
    """Refuse a file that is no mapping in YAML or JSON, or in which a mapping has a key twice.

    The ValueError is one sentence that names the file and the line.
    """
    text = text_of(Path(path))
    if _is_json(text, path):
        return
    try:
        root = yaml.compose(text, LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(filter(None, [error.context, error.problem]))
        raise ValueError(f"{path}{line}: the file is no YAML ({reason}).") from None
    except yaml.YAMLError as error:  # a character that no YAML file may hold
        raise ValueError(f"{path}: the file is no YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{path}: the file is no mapping of keys.")
    for mapping in _mappings(root):
        _check_keys(mapping, path)


def _is_json(text: str, path: str) -> bool:
    """Whether a text is JSON; one with a key twice in a mapping is a ValueError."""

    def once(pairs: Iterable[tuple[str, object]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"{path}: the key {key} occurs twice.")
            seen.add(key)

    try:
        json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError:
        return False
    return True


def _mappings(root: yaml.Node) -> Iterator[yaml.MappingNode]:
    """All mappings of a document, each once however often an alias names it."""
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            todo += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _check_keys(mapping: yaml.MappingNode, path: str) -> None:
    """Refuse a key that the mapping has already: the last one would win."""
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in lines:
            raise ValueError(
                f"{path}, line {line}: the key {key.value} occurs twice, first in line "
                f"{lines[key.value]}."
            )
        lines[key.value] = line
