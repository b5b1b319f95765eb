"""The tiny study by `profiles/slurm` on a Slurm of this machine, with jobs that are killed there.

    make test-slurm

First a target in many jobs, compared with the results of this machine without Slurm; then one job
of generate that is killed, cancelled and out of time, is tried again, and must lose no finished
forward batch.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import yaml

from faults.storm import BATCHES, RESULTS, STAGES, make_models, make_study
from support.stores import contents
from support.workflow import ROOT, Study, environment, new_study

CLUSTER = Path(__file__).with_name("cluster.sh")
TARGET = "rq3"
# Faults of the attempts at one job: at most as many as the profile's `retries`.
FAULTS = (("killed", "out of time"), ("cancelled",))


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """A Slurm of one node, stopped at the end."""
    try:
        subprocess.run([CLUSTER, "start", folder], check=True)
        yield
    finally:
        subprocess.run([CLUSTER, "stop", folder], check=True)


def opened(folder: Path) -> Path:
    """A temporary folder that also the user munge may enter."""
    folder.chmod(0o755)
    return folder


def profile(folder: Path) -> Path:
    """The shipped profile with this cluster's partition, and less waiting."""
    settings = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())
    settings["default-resources"]["slurm_partition"] = "main"
    settings |= {
        "latency-wait": 10,
        "slurm-no-account": True,
        "slurm-status-command": "squeue",  # there is no accounting
        "slurm-init-seconds-before-status-checks": 2,
        "seconds-between-status-checks": 2,
    }
    folder.mkdir()
    (folder / "profile.yaml").write_text(yaml.safe_dump(settings))
    return folder


def asked(*command: str) -> list[str]:
    """Lines of what a command of Slurm prints."""
    return subprocess.check_output(command, text=True).splitlines()


def strike(fault: str, job: str) -> None:
    """Do a fault to a running job of Slurm."""
    if fault == "killed":
        for process in psutil.process_iter(["cmdline"]):
            if ".snakemake/scripts/" in " ".join(process.info["cmdline"] or ()):
                with suppress(psutil.Error):  # it has ended, or is another user's
                    if process.environ().get("SLURM_JOB_ID") == job:
                        process.kill()
    elif fault == "cancelled":
        asked("scancel", job)
    else:
        asked("scontrol", "update", f"JobId={job}", "EndTime=now")


def finished(study: Study) -> set[Path]:
    """The forward batches that a job of generate has put beside its store."""
    return set((study.folder / RESULTS / ".partial").glob("*/*.npz"))


def survive(study: Study, command: list[str], faults: tuple[str, ...]) -> int:
    """Run a job of generate through these faults; how many finished batches were made again."""
    running = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)
    made: dict[Path, int] = {}
    lost, jobs = 0, set[str]()
    for fault in faults:
        before = len(made)
        while len(made) <= before or not (found := set(asked(*RUNNING)) - jobs):
            assert running.poll() is None, f"ended before it was {fault}"
            made |= {path: path.stat().st_ino for path in finished(study)}
            time.sleep(0.1)
        (job,) = found
        jobs.add(job)
        made |= {path: path.stat().st_ino for path in finished(study)}
        strike(fault, job)
        (state,) = asked("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")
        print(
            f"job {job}, after {len(made)} of {BATCHES} forward batches: {fault} ({state})",
            flush=True,
        )
    while running.poll() is None:
        for path in finished(study):
            with suppress(FileNotFoundError):
                lost += made.setdefault(path, inode := path.stat().st_ino) != inode
        time.sleep(0.1)
    assert running.returncode == 0, f"not made after it was {faults}"
    return lost


RUNNING = ("squeue", "--noheader", "--states=RUNNING", "--format=%i")


def main() -> None:
    """Run both parts and print what was seen."""
    if sys.flags.optimize:
        raise SystemExit("not with -O: what is checked are assertions")
    with tempfile.TemporaryDirectory() as name, cluster(opened(Path(name)) / "slurm"):
        folder = Path(name)
        models, options = (
            make_models(folder / "models"),
            ("--workflow-profile", profile(folder / "profile")),
        )
        local, remote = (new_study(folder / each, models) for each in ("local", "remote"))
        local.snakemake(TARGET)
        remote.snakemake(*map(str, options), TARGET)
        tables = sorted((local.folder / "results" / "tiny" / "tables").glob("*.tsv"))
        for table in tables:
            twin = remote.folder / table.relative_to(local.folder)
            assert contents(twin) == contents(table), table.name
        submitted = len(asked("squeue", "--noheader", "--states=all", "--format=%i"))
        print(
            f"{TARGET}: {submitted} jobs of Slurm, {len(tables)} tables as without it", flush=True
        )

        whole, store = make_study(folder / "whole", models), f"{RESULTS}/{STAGES['generate'][0]}"
        whole.snakemake(store)
        for faults in FAULTS:
            study = make_study(folder / "-".join(faults).replace(" ", "-"), models)
            lost = survive(study, study.command(*map(str, options), "--", store), faults)
            assert lost == 0, f"{lost} finished forward batches were made again"
            assert contents(study.folder / store) == contents(whole.folder / store)
            print(f"{' and '.join(faults)}: no finished forward batch lost, the same store")


if __name__ == "__main__":
    main()
