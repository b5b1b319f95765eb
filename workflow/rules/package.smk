# The package: its files, found by their imports, where scripts find it, and digests of its code.
import functools
import importlib
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError


@functools.cache
def package_file(path):
    """Text of a file of the package, by its path in src/; None if there is none.

    Files come one by one: a workflow used from a repository has those that are asked for.
    """
    if not path.startswith("stepscope/"):
        return None
    try:
        return Path(workflow.source_path(f"../src/{path}")).read_text(encoding="utf-8")
    except (OSError, WorkflowError):
        return None


# What is no module, and what is needed to look through imports.
for path in (
    "stepscope/figures/style.mplstyle",
    "stepscope/estimate/benchmark.json",
    "stepscope/study/__init__.py",
    "stepscope/study/digests.py",
):
    package_file(path)
SOURCE = str(Path(workflow.source_path("../src/stepscope/__init__.py")).parent.parent)
sys.path.insert(0, SOURCE)

from stepscope.study import digests

# The hub is asked by fetch_model alone, unless the user is offline; jobs load what it left behind.
os.environ.setdefault("STEPSCOPE_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "0"))
# For the scripts; PYTHONPATH is unset in conda jobs. Orphans of a killed Snakemake know by its id.
os.environ.update(STEPSCOPE=SOURCE, STEPSCOPE_SNAKEMAKE=str(os.getpid()), HF_HUB_OFFLINE="1")


def ready(*modules):
    """Fetch modules and all they import, so that they can be imported."""
    digests.closure([f"stepscope.{name}" for name in modules], package_file)
    importlib.invalidate_caches()  # the files may be newer than a look into their folders


# What every script imports, what finds methods of one's own, and what these may import.
ready("joblog", "outputs", "plugins", "table_columns", "table_registry", "models.families.names")
digests.closure(digests.public([], package_file), package_file)

from stepscope.models.families.names import FAMILIES
from stepscope.outputs import is_foreign
from stepscope.table_columns import WHOLE
from stepscope.table_registry import TABLES


@functools.cache  # of thousands of jobs, each asks for its rule's
def code(*names, tables=()):
    """Digest of package modules and all they import, so that editing them reruns their rules.

    ``tables`` are those that the modules read or write: of the registry, only they count.
    """
    modules = [f"stepscope.{name}" for name in names]
    columns = map((TABLES | WHOLE).get, tables)
    return digests.digest(modules, package_file) + digests.of_values(*columns)


@functools.cache
def code_with(reference, *names):
    """Digest as ``code``, with the module of "package.module:name", of the package or one's own.

    Of one's own modules those below the working directory are followed; installed ones are pinned
    by envs/.
    """
    modules = [reference.partition(":")[0], *(f"stepscope.{name}" for name in names)]
    return digests.digest(modules, own_file)


def own_file(path):
    """Text of a file of the package, or of one below the working directory."""
    if not Path(path).is_file() or path.startswith("stepscope/"):
        return package_file(path)
    return Path(path).read_text(encoding="utf-8")
