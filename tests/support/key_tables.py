"""Write the tables of config/README.md from the schemas: `python tests/support/key_tables.py`.

A table of keys stands between `<!-- keys: models -->` and `<!-- /keys -->`, where `models` is the
path of a key in the schema of a study and `.` the study itself. Between `<!-- columns: . -->` and
`<!-- /columns -->` are the columns of a prompt table.
"""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "config" / "README.md"
COMMAND = "python tests/support/key_tables.py"
SCHEMAS = {"keys": "config", "columns": "prompts"}  # by what the rows of a table are
MARKED = re.compile(r"(<!-- (keys|columns): (\S+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
TYPES = {
    "string": "text",
    "boolean": "true or false",
    "object": "mapping",
    "array": "list",
}


def schema(name: str) -> dict[str, Any]:
    """The schema of a study (`config`) or of a prompt table's row (`prompts`)."""
    return yaml.safe_load((ROOT / f"workflow/schemas/{name}.schema.yaml").read_text("utf-8"))


def resolved(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema `root`, with what it refers to; its own description counts."""
    if "$ref" not in part:
        return part
    return root["$defs"][part["$ref"].removeprefix("#/$defs/")] | part


def mapping_at(path: str, root: dict[str, Any]) -> dict[str, Any]:
    """The part of a schema that has the keys at `path`; of a mapping by names, its entries'."""
    part = root
    for key in path.strip(".").split("/") if path != "." else ():
        part = resolved(part["properties"][key], root)
        if "properties" not in part:
            part = resolved(part["additionalProperties"], root)
    return part


def kind(part: dict[str, Any]) -> str:
    """What values a part of a schema takes, in words."""
    if "enum" in part:
        return ", ".join(f"`{shown(value)}`" for value in part["enum"])
    if "const" in part:
        return f"`{shown(part['const'])}`"
    if "anyOf" in part:
        return " or ".join(map(kind, part["anyOf"]))
    names = part.get("type", "object")
    names = [names] if isinstance(names, str) else names
    return " or ".join(TYPES.get(name, name) for name in names)


def shown(value: object) -> str:
    """A value as it is written in a config."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("...\n").strip()


def sentence(description: str) -> str:
    """A description on one line; those that errors quote have neither a capital nor a full stop."""
    text = " ".join(description.split())
    return text[0].upper() + text[1:] + ("" if text.endswith((".", ")")) else ".")


def row(key: str, part: dict[str, Any], required: bool) -> str:
    """A table's row: the key, its type and default, its description."""
    about = kind(part)
    if required:
        about += "; required"
    elif part.get("default", {}) != {}:
        about += f"; default `{shown(part['default'])}`"
    cells = (f"`{key}`", about, sentence(part["description"]))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def table(rows: str, path: str) -> str:
    """The table at `path` of the schema that describes `rows` (keys or columns)."""
    root = schema(SCHEMAS[rows])
    part = mapping_at(path, root)
    required = part.get("required", ())
    body = [
        row(key, resolved(inner, root), key in required)
        for key, inner in part["properties"].items()
    ]
    heading = f"| {rows.removesuffix('s')} | type | meaning |"
    return "\n".join([heading, "|---|---|---|", *body])


def renewed(page: str) -> str:
    """The text of a page with each of its marked tables written anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found[2], found[3])}\n\n{found[4]}", page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
