"""Statistics and figures of 10,000 prompts: each job is to take at most 5 minutes and 2 GB.

    PYTHONPATH=workflow/src:tests python tests/benchmarks/bench_statistics.py results/scenes

The jobs are those that Snakemake plans for a finished default study and that read its tables; the
parts are the study's own, each of its batches again and again under other prompt_ids, with one seed
a prompt or as many as it has (`--seeds all`). A job is its script in a process of its own, with one
thread, and runs at each number of `--prompts`; what it takes of 10,000 lies on a straight line
through them. `--only test_claims ...` runs some, with the jobs that make what they read: few parts
are written then, and `--prompts 10000` measures it. All 10,000 take about 90 GB of disk, and 1,200
with 2,400, one after the other, 22 GB.
"""

import argparse
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from snakemake.api import SnakemakeApi
from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
GOAL = 10_000
FIRST = "axes"  # an input that is of the first batch alone
SHOWN = "previews"  # what a figure of a few samples has as input, whose parts are theirs alone
# Runs a script of the workflow as Snakemake does, but for its checks.
JOB = """
import pickle, runpy, sys
from types import SimpleNamespace

class Files(list):
    def __init__(self, of):
        self.named = {name: files for name, files in of if name}
        for name, files in of:
            self += files if isinstance(files, list) else [files]
        self.__dict__.update(self.named)
    def items(self):
        return self.named.items()
    def __getitem__(self, key):
        return self.named[key] if isinstance(key, str) else super().__getitem__(key)

with open(sys.argv[2], "rb") as file:
    job = pickle.load(file)
given = SimpleNamespace(
    **{name: Files(job[name]) for name in ("input", "output", "log")},
    wildcards=SimpleNamespace(**job["wildcards"]), params=SimpleNamespace(**job["params"]),
)
runpy.run_path(sys.argv[1], {"snakemake": given})
"""
Named = list[tuple[str | None, str | list[str]]]  # files of a job, in their order


class Job(NamedTuple):
    """A job that Snakemake plans; paths are relative to the study's root."""

    name: str
    script: str
    files: dict[str, Named]
    wildcards: dict[str, str]
    params: dict[str, Any]

    def paths(self, which: str) -> list[str]:
        """All files of `input`, `output` or `log`."""
        each = [files for _, files in self.files[which]]
        return [path for files in each for path in (files if isinstance(files, list) else [files])]


def planned(study: Path) -> list[Job]:
    """The jobs that read tables of all batches, or all parts of one, and make no part."""
    tables, parts = f"results/{study.name}/tables/", f"results/{study.name}/tables/parts/"
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            snakefile=ROOT / "Snakefile",
            workdir=study.parents[1],
        )
        dag = workflow.dag(DAGSettings(targets={"all"}, forceall=True))
        dag.execute_workflow("dryrun")
        plan = [job for job in workflow._workflow.dag.jobs if job.rule.script]
        jobs = [
            Job(
                " ".join([job.rule.name, *job.wildcards]),
                str(SCRIPTS / Path(job.rule.script).name.format(params=job.params)),
                {name: named(getattr(job, name)) for name in ("input", "output", "log")},
                dict(job.wildcards.items()),
                dict(job.params.items()),
            )
            for job in plan
            if "batch" not in dict(job.wildcards.items())
        ]
    jobs = [job for job in jobs if not any(path.startswith(parts) for path in job.paths("output"))]
    jobs = [job for job in jobs if any(path.startswith(tables) for path in job.paths("input"))]
    return in_order(jobs)


def named(files: Any) -> Named:
    """Files with their names, as a rule gives them."""
    found: Named = []
    for name, item in files._allitems():
        listed = not isinstance(item, str)
        found.append((name, [str(path) for path in item] if listed else str(item)))
    return found


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Jobs after those that make what they read."""
    waiting, done = sorted(jobs, key=lambda job: job.name), []
    made = {path for job in waiting for path in job.paths("output")}
    while waiting:
        ready = [job for job in waiting if not made.intersection(job.paths("input"))]
        done += ready
        made -= {path for job in ready for path in job.paths("output")}
        waiting = [job for job in waiting if job not in ready]
    return done


def needed(jobs: Sequence[Job], only: Sequence[str]) -> list[Job]:
    """The jobs of these rules or names, and those that make what they read."""
    wanted: set[str] = set()
    chosen = []
    for job in reversed(jobs):
        if {job.name, job.name.partition(" ")[0]} & set(only) or wanted & set(job.paths("output")):
            chosen.append(job)
            wanted |= set(job.paths("input"))
    return chosen[::-1]


def copies(part: Path, seeds: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Header and rows of a part, each in three pieces, the second of which is its prompt_id."""
    header, *rows = part.read_text().splitlines(keepends=True)
    names = header.rstrip("\n").split("\t")
    prompt, seed = names.index("prompt_id"), names.index("seed")
    first: dict[str, str] = {}
    pieces = []
    for row in rows:
        fields = row.split("\t")
        if first.setdefault(fields[prompt], fields[seed]) == fields[seed] or seeds == "all":
            before, after = "\t".join(fields[:prompt]), "\t".join(fields[prompt + 1 :])
            pieces.append((f"{before}\t", fields[prompt], f"\t{after}"))
    return header, pieces


def shuffled(text: str, header: str) -> str:
    """Readings of rq3_emergence with errors, and other chances: no two batches have the same."""
    names = header.rstrip("\n").split("\t")
    shown, chance = names.index("shown"), names.index("chance")
    lines = []
    for line in text.splitlines():
        fields = line.split("\t")
        fields[shown] = "".join(
            digit if random.random() > 0.05 else "10"[int(digit)] for digit in fields[shown]
        )
        fields[chance] = f"{min(1, float(fields[chance]) + random.randrange(8) / 64):.8g}"
        lines.append("\t".join(fields))
    return "\n".join(lines) + "\n"


def copied(part: str, count: int) -> list[str]:
    """Paths of so many copies of a part, `<tables>/parts/<table>/<unit>/<batch>[/<method>].tsv`."""
    *unit, batch = (names := Path(part).parts)[: names.index("parts") + 6]
    batch = batch.removesuffix(".tsv")
    rest = names[len(unit) + 1 :]
    paths = [Path(*unit, f"{batch}-{copy}", *rest) for copy in range(count)]
    return [str(path) if rest else f"{path}.tsv" for path in paths]


def grows(path: str, root: Path) -> bool:
    """Whether a file is a part with a row a sample; parts of all batches together are not."""
    if "/tables/parts/" not in path:
        return False
    with (root / path).open() as file:
        return "prompt_id" in file.readline().split("\t")


def write_copies(root: Path, folder: Path, part: str, count: int, seeds: str) -> None:
    """Write so many copies of a part."""
    header, pieces = copies(root / part, seeds)
    for copy, path in enumerate(copied(part, count)):
        text = "".join(f"{before}{prompt}-{copy}{after}" for before, prompt, after in pieces)
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(header + (shuffled(text, header) if "rq3_emergence" in part else text))


def of_size(job: Job, root: Path, folder: Path, made: set[str], count: int) -> dict[str, Any]:
    """What a job's script is given where every batch is there so many times."""
    of_few = SHOWN in dict(job.files["input"])

    def placed(path: str, name: str | None) -> list[str]:
        if grows(path, root) and not of_few:
            return [str(folder / each) for each in copied(path, 1 if name == FIRST else count)]
        return [str((folder if path in made else root) / path)]

    def enlarged(files: Named) -> Named:
        found: Named = []
        for name, item in files:
            paths = [item] if isinstance(item, str) else item
            many = [place for path in paths for place in placed(path, name)]
            found.append((name, many[0] if isinstance(item, str) and len(many) == 1 else many))
        return found

    files = {name: enlarged(of) for name, of in job.files.items()}
    return {**files, "wildcards": job.wildcards, "params": job.params}


def run(script: str, given: dict[str, Any], folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak GB of a job."""
    environment = {**os.environ, "STEPSCOPE": str(ROOT / "workflow" / "src")}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    (folder / "job.py").write_text(JOB)
    (folder / "job.pickle").write_bytes(pickle.dumps(given))
    for _, path in (*given["output"], *given["log"]):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "job.py", script, "job.pickle"], env=environment, cwd=folder
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"see {given['log'][0][1]}")
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def measured(
    jobs: Sequence[Job], root: Path, folder: Path, prompts: int, seeds: str
) -> dict[str, tuple[float, float, float]]:
    """What each job takes of so many prompts, by its name; prints a line each."""
    parts = {path for job in jobs for path in job.paths("input") if grows(path, root)}
    made = {path for job in jobs for which in ("output", "log") for path in job.paths(which)}
    emergence = next(root.glob("results/*/tables/parts/rq3_emergence/**/*.tsv"))
    of_study = len({row[1] for row in copies(emergence, seeds)[1]})
    count = -(-prompts // of_study)
    for part in sorted(parts):
        write_copies(root, folder, part, count, seeds)
    print(f"{count * of_study} prompts in {count} batches, seeds: {seeds}")
    print(f"{'job':<44}{'s':>8}{'CPU s':>8}{'GB':>8}", flush=True)
    found = {}
    for job in jobs:
        found[job.name] = run(job.script, of_size(job, root, folder, made, count), folder)
        print("{:<44}{:>8.1f}{:>8.1f}{:>8.2f}".format(job.name, *found[job.name]), flush=True)
    return found


def extrapolated(sizes: Sequence[int], of_sizes: Sequence[dict[str, tuple[float, ...]]]) -> None:
    """Print what lies on a straight line through the sizes."""
    print(f"on a straight line, {GOAL} prompts\n{'job':<44}{'s':>8}{'CPU s':>8}{'GB':>8}")
    for name in of_sizes[0]:
        slope, start = np.polyfit(sizes, [of[name] for of in of_sizes], 1)
        print("{:<44}{:>8.1f}{:>8.1f}{:>8.2f}".format(name, *(start + slope * GOAL)))


def main() -> None:
    """Print what each job takes."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("study", type=Path, nargs="?", default=Path("results/scenes"))
    arguments.add_argument("--folder", type=Path, default=Path("results/bench_statistics"))
    arguments.add_argument("--prompts", type=int, nargs="+", default=[1200, 2400])
    arguments.add_argument("--seeds", choices=("one", "all"), default="one")
    arguments.add_argument("--only", nargs="*", default=())
    chosen = arguments.parse_args()
    if not (chosen.study / "tables" / "parts").is_dir():
        raise SystemExit(f"{chosen.study}: there is no finished study here")
    root = chosen.study.resolve().parents[1]
    jobs = planned(chosen.study.resolve())
    jobs = needed(jobs, chosen.only) if chosen.only else jobs
    found = []
    for prompts in chosen.prompts:
        folder = chosen.folder.resolve() / str(prompts)
        shutil.rmtree(folder, ignore_errors=True)
        found.append(measured(jobs, root, folder, prompts, chosen.seeds))
        shutil.rmtree(folder / "results")
    if len(found) > 1:
        extrapolated(chosen.prompts, found)


if __name__ == "__main__":
    main()
