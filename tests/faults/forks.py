"""Jobs of a study as forks of a process that has imported all they need: one starts in an instant.

`Forks` runs Snakemake, whose jobs hand their scripts to it (see proxy/sitecustomize.py), and
remembers them; `start` runs such a script again, without Snakemake.
"""

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

import stepscope
from stepscope import outputs
from support.workflow import Study, environment

PROXY = Path(__file__).with_name("proxy")
CLASSES = {
    "diffusers": (
        *("AutoencoderKL", "DPMSolverMultistepScheduler"),
        *("StableDiffusionPipeline", "UNet2DConditionModel"),
    ),
    "transformers": (
        *("CLIPTextModel", "CLIPTokenizer", "AutoTokenizer"),
        *("SegformerForSemanticSegmentation", "SegformerImageProcessor"),
    ),
    "open_clip": ("create_model_and_transforms",),
}


def import_all() -> None:
    """Import what jobs use; it must start no thread, of which a fork has none."""
    torch.set_num_threads(1)
    # its own is a semaphore that forks share: one that is killed with it would hold all later ones
    tqdm.set_lock(threading.RLock())
    for module in pkgutil.walk_packages(stepscope.__path__, "stepscope."):
        importlib.import_module(module.name)
    for library, names in CLASSES.items():
        for name in names:
            getattr(importlib.import_module(library), name)


@dataclass(frozen=True)
class Job:
    """A job's script as Snakemake wrote it; paths are relative to the study's folder."""

    text: str
    environment: Mapping[str, str]
    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    log: str


def job_of(text: str, variables: Mapping[str, str]) -> Job:
    """The job of a script, from the values that Snakemake put before it."""
    found: dict = {"__file__": ""}
    exec(text.partition("snakemake preamble end")[0], found)
    said = found["snakemake"]
    inputs = tuple(map(str, said.input))
    return Job(text, variables, said.rule, inputs, tuple(map(str, said.output)), str(said.log[0]))


def start(
    job: Job,
    folder: Path,
    *,
    printed: Path | None = None,
    before: Callable[[], object] = lambda: None,
    starter: int | None = None,
    connection: socket.socket | None = None,
) -> int:
    """Fork a job that works in a study's folder; its process id.

    `before` is called in the fork, whose stdout and stderr go to `printed`. `starter` is taken for
    Snakemake's process. The exit status goes to `connection` too.
    """
    if child := os.fork():
        return child
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        variables = {**job.environment, outputs.SNAKEMAKE: str(starter or os.getppid())}
        os.environ.clear()
        os.environ.update(job.environment if connection else variables)
        os.chdir(folder)
        said = os.open(printed or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(said, number)
        before()
        status = run(job.text)
    except BaseException:
        traceback.print_exc()
    finally:
        if connection:
            connection.sendall(f"{status}\n".encode())
        os._exit(status)


def run(text: str) -> int:
    """Run a script as Python would; its exit status."""
    try:
        exec(compile(text, "script.py", "exec"), {"__name__": "__main__", "__file__": "script.py"})
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def ended(process: int) -> int:
    """Wait for a fork: its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Forks:
    """Runs Snakemake with jobs that are forks of this process."""

    def __init__(self) -> None:
        """Imports take seconds."""
        import_all()
        self._folder = tempfile.TemporaryDirectory()
        self._address = str(Path(self._folder.name, "socket"))
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self._address)
        self._server.listen(16)
        self._server.settimeout(0.05)

    def __enter__(self) -> "Forks":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._server.close()
        self._folder.cleanup()

    def snakemake(self, study: Study, *arguments: str) -> list[Job]:
        """Run targets of a study to the end, and return the jobs in the order of their starts."""
        path = os.pathsep.join([str(PROXY), *filter(None, [os.environ.get("PYTHONPATH")])])
        variables = environment() | {"FORKS": self._address, "PYTHONPATH": path}
        jobs, children = [], []
        with tempfile.TemporaryFile("w+") as printed:
            running = subprocess.Popen(
                study.command(*arguments),
                cwd=study.root,
                env=variables,
                stdout=printed,
                stderr=printed,
            )
            while running.poll() is None:
                try:
                    connection, _ = self._server.accept()
                except TimeoutError:
                    continue
                with connection:
                    job, child = self._serve(connection)
                jobs.append(job)
                children.append(child)
            for child in children:
                ended(child)
            printed.seek(0)
            assert running.returncode == 0, printed.read()
        return jobs

    def _serve(self, connection: socket.socket) -> tuple[Job, int]:
        """Fork the job that a proxy asks for; the fork answers it."""
        connection.settimeout(None)
        asked = json.loads(connection.makefile().readline())
        variables = asked["environment"]
        text = Path(asked["folder"], asked["script"]).read_text(encoding="utf-8")
        job = job_of(text, variables)
        return job, start(job, Path(asked["folder"]), connection=connection)
