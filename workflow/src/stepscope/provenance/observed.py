"""What can be seen of a run: its files and benchmarks, the code, the software, the machine."""

import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from stepscope.study import digests

RESULTS = ("tables/*.tsv", "figures/*.*", "films/**/*.webp")  # files that are described one by one
FOLDERS = {  # of stores, which are described as a whole
    "traces": "the tensors of every time step, zarr stores",
    "previews": "clean predictions and final pictures, zarr stores",
    "masks": "regions of words, zarr stores",
    "maps": "maps of every method, zarr stores",
    "controls": "maps of the controls, zarr stores",
}
SOURCES = {
    ".py",
    ".smk",
    ".yaml",
    ".rst",
    ".mplstyle",
    ".json",
    "",
}  # of a workflow; "" a Snakefile


class Revision(NamedTuple):
    """A workflow's code: its commit and whether its files are the commit's, None without git."""

    commit: str | None
    clean: bool | None
    digest: str


class Made(NamedTuple):
    """A result: its path in the study's folder, bytes, and SHA-256 (None of a folder)."""

    path: str
    size: int | None
    sha256: str | None


def revision(workflow: Path) -> Revision:
    """The revision of a workflow's folder; its digest needs no git.

    Python counts by its syntax trees, as in the digests by which rules run again.
    """
    commit = clean = None
    if _git(workflow, "ls-files", "--error-unmatch", "Snakefile"):  # not another one's repository
        commit = _git(workflow, "rev-parse", "HEAD")
        clean = _git(workflow, "status", "--porcelain", "--", ".") == ""
    return Revision(commit, clean, code_digest(workflow))


def code_digest(workflow: Path) -> str:
    """Digest of a workflow's files, 12 digits: modules as its rules see them, all else whole."""
    source = workflow / "src"
    files = [path for path in sorted(workflow.rglob("*")) if _is_source(path)]
    texts = {path.relative_to(workflow).as_posix(): path.read_text("utf-8") for path in files}
    modules = [path.relative_to(source) for path in files if _is_module(path, source)]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in modules]
    seen = {f"src/{path.as_posix()}" for path in modules if path.as_posix() not in digests.APART}
    whole = [(path, text) for path, text in texts.items() if path not in seen]
    return digests.of_values(digests.digest(names, lambda path: texts.get(f"src/{path}")), whole)


def _is_source(path: Path) -> bool:
    return path.is_file() and path.suffix in SOURCES and "__pycache__" not in path.parts


def _is_module(path: Path, source: Path) -> bool:
    return path.suffix == ".py" and path.is_relative_to(source)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints of a folder; None without git, or where the folder is in no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def made(results: Path) -> list[Made]:
    """Tables, figures and films in a study's folder, and its folders of stores."""
    files = sorted(
        path for pattern in RESULTS for path in results.glob(pattern) if path.name[0] != "."
    )
    folders = [results / name for name in FOLDERS if any((results / name).glob("*"))]
    return [
        *(
            Made(path.relative_to(results).as_posix(), path.stat().st_size, sha256(path))
            for path in files
        ),
        *(Made(f"{path.name}/", None, None) for path in folders),
    ]


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def traced_with(results: Path) -> dict[str, list[str]]:
    """Devices, Python and versions of libraries that the traces say they were made with."""
    found: dict[str, set[str]] = {}
    for path in results.glob("traces/*/*/*/*.zarr/zarr.json"):
        attributes = json.loads(path.read_bytes()).get("attributes", {})
        versions = attributes.get("versions", {}) | {"Python": attributes.get("python", "")}
        for name, value in (versions | {"device": attributes.get("device", "")}).items():
            found.setdefault(name, set()).update([value] if value else [])
    return {name: sorted(values) for name, values in sorted(found.items())}


def usage(results: Path) -> dict[str, float]:
    """Jobs with a benchmark, the seconds and CPU seconds they took, and the largest one's memory.

    Seconds are summed over jobs; memory is the resident set in MB (2**20 bytes).
    """
    runs = [json.loads(line) for line in _lines(results.glob("benchmarks/**/*.jsonl"))]
    if not runs:
        return {}
    return {
        "jobs": len(runs),
        "seconds": _sum(runs, "s"),
        "cpu_seconds": _sum(runs, "cpu_time"),
        "memory_mb": round(max(_numbers(runs, "max_rss"), default=0.0), 1),
    }


def _lines(paths: Iterable[Path]) -> list[str]:
    lines = (line for path in paths for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line.strip()]


def _numbers(runs: list[dict[str, Any]], key: str) -> list[float]:
    """Values of a key; a job that ended before it was measured has none."""
    return [float(run[key]) for run in runs if isinstance(run.get(key), int | float)]


def _sum(runs: list[dict[str, Any]], key: str) -> float:
    return round(sum(_numbers(runs, key)), 1)


def software() -> dict[str, str]:
    """Version by name of every installed distribution."""
    found = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def machine() -> dict[str, str]:
    """Processor, physical cores, memory (GB, 10**9 bytes), system and cards of this machine."""
    cores, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    return {
        "processor": _processor(),
        "cores": f"{cores or logical} ({logical} logical)",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": platform.platform(),
        "graphics card": ", ".join(_cards()) or "none",
    }


def _processor() -> str:
    """Name of the processor, as Linux has it, or else the platform's."""
    cpus = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpus.read_text().splitlines() if cpus.is_file() else ())
        if line.startswith("model name")
    ]
    return next(iter(names), "") or platform.processor() or platform.machine()


def _cards() -> list[str]:
    """Name and memory of each graphics card that NVIDIA's driver knows."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []
