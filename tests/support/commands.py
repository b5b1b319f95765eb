"""Command lines of the documents, and stand-ins for the programs that they start."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from support.workflow import ROOT, rule_texts

PAGES = (
    *("README.md", "CONTRIBUTING.md", "config/README.md", "workflow/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "config").glob("*.yaml"))),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "profiles").glob("*/*.yaml"))),
)
PROGRAMS = (
    *("make", "snakemake", "snakefmt", "pytest", "ruff", "mypy", "python", "pip", "pre-commit"),
    *("hf", "source"),
)
# In a backtick, in a block without a language, or alone in an indented line of a YAML comment.
COMMAND = rf"(?:[A-Z]+=\S+ )*(?:{'|'.join(PROGRAMS)})(?: [^`\n]*)?"
STUDIES = ("my_study.yaml", "my_study/config.yaml", "mine.yaml")  # of a reader's own
# The workflow's own rules by name, without what they do, and its files of the study that is given.
STAND_IN = """
if "study" not in config:

    configfile: "config/config.yaml"


rule default:


rule merge:
    output: f"results/{config['study']}/tables/{{table}}.tsv"


rule fetch:
    output: f"results/{config['study']}/fetched/models/{{name}}.json"
"""


def of_page(page: str) -> list[str]:
    """Every command line of a page once, as it stands there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".yaml"):
        text = "\n".join(re.findall(r"#(.*)", text))
        alone = re.findall(rf"^ {{2,}}({COMMAND})$", text, re.MULTILINE)
    else:
        blocks = re.findall(r"^ *```\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
        alone = re.findall(rf"^ *({COMMAND})$", "\n".join(blocks), re.MULTILINE)
        text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = alone + re.findall(rf"`({COMMAND})`", text)
    return [line for line in dict.fromkeys(lines) if line != "python"]  # which is a word, too


def started(line: str, folder: Path) -> list[list[str]]:
    """Program and arguments of all that a shell starts for a line, when stand-ins are started."""
    programs, record = folder / "bin", folder / "record"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text('#!/bin/sh\nprintf "%s\\0" "${0##*/}" "$@" "" >> "$RECORD"\n')
        (programs / name).chmod(0o755)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    path = f"{programs}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "RECORD": str(record)}
    subprocess.run(["bash", "-ec", line], cwd=folder, env=environment, check=True)
    text = record.read_text() if record.exists() else ""
    return [words.split("\0") for words in text.removesuffix("\0\0").split("\0\0") if words]


def stand_in(folder: Path) -> None:
    """A folder as the clone's top, with a workflow of the same rules that only makes dry runs."""
    rules = (ROOT / "workflow" / "Snakefile").read_text(encoding="utf-8")
    names = [*rule_texts(), *re.findall(r"^rule (\w+):", rules, re.MULTILINE)]
    (folder / "Snakefile").write_text(STAND_IN + "".join(f"\n\nrule {name}:\n" for name in names))
    for profile in ("default", "slurm"):
        name = f"profiles/{profile}/profile.yaml"
        kept = (ROOT / name).read_text(encoding="utf-8").replace("executor: slurm", "")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(f"{kept}\ndry-run: true\n")
    shutil.copytree(ROOT / "config", folder / "config")
    for name in STUDIES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "config" / "paper.yaml", folder / name)
