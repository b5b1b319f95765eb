"""Statistics and figures of 10,000 prompts: each job is to take at most 5 minutes and 2 GB.

    PYTHONPATH=workflow/src:tests python tests/benchmarks/bench_statistics.py results/scenes

The parts are those of a finished study, each of its batches again and again under other prompt_ids,
with one seed a prompt or as many as it has (`--seeds all`). A job is its script in a process of its
own, with one thread. `--only NAME ...` runs some, such as "summarise rq3_concepts"; parts that are
there are taken as they are. Those of 10,000 prompts have 45 GB, and as much again when merged.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
# Runs a script of the workflow as Snakemake does, but for its checks.
JOB = """
import json, runpy, sys
from types import SimpleNamespace

class Files(list):
    def __init__(self, of):
        self.named = of if isinstance(of, dict) else {}
        for name, files in self.named.items():
            self += files if isinstance(files, list) else [files]
            setattr(self, name, files)
        self += [] if self.named else of
    def items(self):
        return self.named.items()
    def __getitem__(self, key):
        return self.named[key] if isinstance(key, str) else super().__getitem__(key)

job = json.load(open(sys.argv[2]))
given = SimpleNamespace(
    **{name: Files(job[name]) for name in ("input", "output", "log")},
    wildcards=SimpleNamespace(**job["wildcards"]), params=SimpleNamespace(**job["params"]),
)
runpy.run_path(sys.argv[1], {"snakemake": given})
"""


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


def write_parts(study: Path, folder: Path, table: str, count: int, seeds: str) -> list[str]:
    """Write so many copies of a table's parts; their paths, in the order of the workflow."""
    paths = []
    for part in sorted((study / "tables" / "parts" / table).rglob("*.tsv")):
        place = part.relative_to(study / "tables" / "parts" / table)
        model, dataset, sampling, batch, *method = place.with_suffix("").parts
        header, pieces = "", []
        for copy in range(count):
            name = Path(model, dataset, sampling, f"{batch}-{copy}", *method)
            path = folder / "tables" / "parts" / table / name.with_suffix(".tsv")
            paths.append(str(path))
            if path.exists():
                continue
            if not header:
                header, pieces = copies(part, seeds)
            text = "".join(f"{before}{prompt}-{copy}{after}" for before, prompt, after in pieces)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(header + (shuffled(text, header) if table == "rq3_emergence" else text))
    return paths


def jobs(study: Path, folder: Path, parts: dict[str, list[str]]) -> dict[str, dict]:
    """What each job's script is given, by the job's name."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    statistics, tables = config["statistics"], folder / "tables"
    families = {name: of["concepts"] for name, of in config["probe"]["families"].items()}
    settings = {"bootstrap": statistics, "confidence": statistics["confidence"], **config}
    found: dict[str, dict] = {}

    def table(name: str) -> str:
        return str(tables / f"{name}.tsv")

    def add(name: str, script: str, given: object, outputs: object, **params: object) -> None:
        found[name] = {
            "script": str(ROOT / "workflow" / "scripts" / f"{script}.py"),
            "input": given,
            "output": outputs,
            "log": [str(folder / f"{name}.log")],
            "wildcards": {"table": name.partition(" ")[2]},
            "params": params,
        }

    for name, paths in parts.items():
        add(f"merge_table {name}", "merge_table", paths, [table(name)])
    for name, paths in parts.items():
        add(
            f"summarise {name}",
            "summarise",
            paths,
            [table(f"{name}_summary")],
            statistics=statistics,
        )
    clocks = {name: table(name) for name in ("rq3_clocks", "rq3_clocks_summary")}
    between = {"overridable": "rq3_commitment", "decided": "rq3_decided"}
    given = {clock: table(name) for clock, name in between.items()} | {
        "axes": [paths[0] for paths in units(parts["rq3_concepts"]).values()],
        "emergence": table("rq3_emergence"),
        "words": table("rq2_relevance"),
        "world": [],
    }
    add(
        "measure_clocks", "measure_clocks", given,
        {"clocks": clocks["rq3_clocks"], "summary": clocks["rq3_clocks_summary"]},
        between=list(between), families=families, models=["embedded"], statistics=statistics,
    )  # fmt: skip
    tested = ["rq1_recovery", "rq1_saliency", "rq1_auc", "rq2_relevance", "rq2_grounding"]
    tested += ["rq2_order", "rq2_regions", "rq3_clocks", "rq3_samplings"]
    add(
        "test_claims", "test_claims", {name: table(name) for name in tested}, [table("claims")],
        samplings=config["samplings"], statistics=statistics,
    )  # fmt: skip
    figures = {
        "rq1_auc": {"curves": table("rq1_curves"), "areas": table("rq1_auc")},
        "rq1_recovery": [table("rq1_recovery_summary")],
        "rq1_controls": [table("rq1_controls")],
        "rq2_agreement": [table("rq2_agreement")],
        "rq2_grounding": {"grounding": table("rq2_grounding"), "heads": table("rq2_heads")},
        "rq2_heads": [table("rq2_heads")],
        "rq3_emergence": {
            "concepts": parts["rq3_concepts"],
            "counted": table("rq3_emergence"),
            "clocks": table("rq3_clocks"),
        },
        "rq3_commitment": [table("rq3_commitment")],
        "rq3_clocks": {"clocks": table("rq3_clocks"), "summary": table("rq3_clocks_summary")},
        "claims": [table("claims")],
    }
    for name, given in figures.items():
        own = settings
        if name == "rq3_clocks":
            own = {"confidence": statistics["confidence"], "sampling": "log_snr"}
        paths = [str(folder / "figures" / f"{name}.{form}") for form in ("pdf", "png")]
        add(f"plot {name}", f"plot_{name}", given, paths, settings=own, figure=name)
    return found


def units(paths: list[str]) -> dict[str, list[str]]:
    """Parts by model, dataset and sampling."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(str(Path(path).parent), []).append(path)
    return found


def run(job: dict) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak GB of a job."""
    environment = {**os.environ, "STEPSCOPE": str(ROOT / "workflow" / "src")}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    script = Path(job["log"][0]).with_suffix(".py")
    script.write_text(JOB)
    given = script.with_suffix(".json")
    given.write_text(json.dumps(job))
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, str(script), job["script"], str(given)], env=environment
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"see {job['log'][0]}")
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    """Print what each job takes."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("study", type=Path, nargs="?", default=Path("results/scenes"))
    arguments.add_argument("--folder", type=Path, default=Path("results/bench_statistics"))
    arguments.add_argument("--prompts", type=int, default=10_000)
    arguments.add_argument("--seeds", choices=("one", "all"), default="one")
    arguments.add_argument("--only", nargs="*", default=())
    chosen = arguments.parse_args()
    if not (chosen.study / "tables" / "parts").is_dir():
        raise SystemExit(f"{chosen.study}: there is no finished study here")
    folder = chosen.folder.resolve()
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in (chosen.study / "tables" / "parts").iterdir())
    first = next((chosen.study / "tables" / "parts" / "rq3_emergence").rglob("*.tsv"))
    prompts = len({row[1] for row in copies(first, "one")[1]})
    count = -(-chosen.prompts // prompts)
    parts = {name: write_parts(chosen.study, folder, name, count, chosen.seeds) for name in names}
    print(f"{count * prompts} prompts in {count} batches, seeds: {chosen.seeds}")
    print(f"{'job':<32}{'s':>8}{'CPU s':>8}{'GB':>8}", flush=True)
    for name, job in jobs(chosen.study, folder, parts).items():
        if not chosen.only or name in chosen.only:
            print("{:<32}{:>8.1f}{:>8.1f}{:>8.2f}".format(name, *run(job)), flush=True)


if __name__ == "__main__":
    main()
