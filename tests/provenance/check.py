"""The crate of a finished study, held against its profile by roc-validator.

    make test-provenance

Without network, but for the JSON-LD contexts of RO-Crate where the validator has not kept them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from faults.storm import make_models
from support.workflow import new_study

VALIDATOR = Path(sys.argv[1])  # its program, in an environment of its own
PROFILE = "workflow-run-crate-0.5"


def main() -> None:
    """Run the tiny study, describe it, and print what the validator says."""
    with tempfile.TemporaryDirectory() as name:
        study = new_study(Path(name) / "study", make_models(Path(name) / "models"))
        study.snakemake("provenance")
        crate = study.folder / "results" / "tiny"
        subprocess.run([VALIDATOR, "validate", "--profile-identifier", PROFILE, crate], check=True)


if __name__ == "__main__":
    main()
