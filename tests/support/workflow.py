"""The workflow's command line on a study's own folder, and examples of the documents."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from stepscope.study import digests

ROOT = Path(__file__).parents[2]


def block(kind: str, name: str, page: str = "README.md") -> str:
    """The text of a page's fenced block with this kind and name."""
    (found,) = re.findall(
        rf"^```{kind} {re.escape(name)}\n(.*?)^```$",
        (ROOT / page).read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    return found


@dataclass
class Study:
    """A working directory with its own config/, and Snakemake run in it."""

    folder: Path
    root: Path = ROOT
    snakefile: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        return [
            sys.executable,
            *("-m", "snakemake", "--snakefile", str(self.snakefile or self.root / "Snakefile")),
            *("--directory", str(self.folder), "--cores", "2", *arguments),
        ]

    def snakemake(self, *arguments: str, fails: bool = False) -> str:
        """Run Snakemake and return what it prints."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rules that a dry run plans, with the number of their jobs."""
        return planned(self.snakemake("--dry-run", *arguments))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the one occurrence of ``old`` in a file of the study."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def copy(self, folder: Path) -> "Study":
        """The same study with its results and Snakemake's records elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Study(folder)


def planned(printed: str) -> dict[str, int]:
    """Job counts of a dry run's table, without the total."""
    table = re.search(r"^job +count\n[- ]+\n((?:\w+ +\d+\n)+)", printed, re.MULTILINE)
    rows = (line.split() for line in table[1].splitlines()) if table else ()
    return {name: int(count) for name, count in rows if name != "total"}


def environment() -> dict[str, str]:
    """One thread a job, and no hub."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def job_of(running: subprocess.Popen) -> psutil.Process | None:
    """The job's own Python among the descendants of a running Snakemake, if there is one."""
    try:
        return next(
            child
            for child in psutil.Process(running.pid).children(recursive=True)
            if Path(child.name()).name.startswith("python")
            and any(".snakemake/scripts/" in argument for argument in child.cmdline())
        )
    except (StopIteration, psutil.NoSuchProcess, psutil.ZombieProcess):
        return None


def new_study(folder: Path, models: Path) -> Study:
    """Copy the tiny study and link the models into it."""
    shutil.copytree(ROOT / "tests" / "support" / "study", folder)
    (folder / "models").symlink_to(models)
    return Study(folder)


def package_text(path: str) -> str | None:
    """Text of a file of the package by its path in src/; None if there is none."""
    file = ROOT / "workflow" / "src" / path
    return file.read_text(encoding="utf-8") if file.is_file() else None


def rule_texts() -> dict[str, str]:
    """Text of each rule by its name; before it, that of the rule whose parts it inherits."""
    heads = r"^(?:use rule (\w+) as |rule )(\w+)(?: with)?:\n((?:(?: .*)?\n)*)"
    parts: dict[str, tuple[str, str]] = {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for base, name, body in re.findall(heads, path.read_text(encoding="utf-8"), re.MULTILINE):
            parts[name] = (base, body)

    def text(name: str) -> str:
        base, body = parts[name]
        return (text(base) if base else "") + body

    return {name: text(name) for name in parts}


def script_closure(script: Path) -> dict[str, str]:
    """Texts by path of a script, which is script.py, and of all in the package that it imports."""

    def source(path: str) -> str | None:
        return script.read_text(encoding="utf-8") if path == "script.py" else package_text(path)

    return digests.closure(["script"], source)


def copied_code(folder: Path) -> Path:
    """Copy the workflow with its profiles and return the folder."""
    for name in ("workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder
