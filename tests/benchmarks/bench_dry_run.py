"""Dry runs of the default study with 10,000 prompts; to take at most 30 s and 1 GB."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROMPTS = 10_000
BATCHES = (10, 100, 157)  # of 1,000, 100 and 64 prompts


def dry_run(batches: int) -> None:
    """Print seconds, peak memory and the number of jobs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [f"p{i}\ta big fox on a blue background\t{i}\tfox\n" for i in range(PROMPTS)]
        (folder / "prompts.tsv").write_text("prompt_id\tprompt\tseed\tsubject\n" + "".join(rows))
        config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        config["datasets"] = {"many": {"prompts": "prompts.tsv", "batches": batches}}
        (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", name, "--configfile", str(folder / "study.yaml")]
        start = time.perf_counter()
        child = subprocess.Popen(
            [*command, "--cores", "1", "--dry-run", "--quiet", "rules", "--", "all"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        sys.exit(printed)
    (total,) = {line.split()[1] for line in printed.splitlines() if line.startswith("total ")}
    print(
        f"{PROMPTS} prompts in {batches} batches, {total} jobs: {seconds:.1f} s (at most 30), "
        f"{usage.ru_utime + usage.ru_stime:.1f} s of CPU time, "
        f"{usage.ru_maxrss / 2**20:.2f} GB (at most 1)"
    )


def main() -> None:
    """Dry runs with ever more batches."""
    for batches in BATCHES:
        dry_run(batches)


if __name__ == "__main__":
    main()
