"""The crate of a finished study, held against its profile by roc-validator.

    make test-provenance

The tests' study is run and described; then the same crate without its workflow must be refused.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from support import tiny, tiny_judges
from support.workflow import Study, new_study

VALIDATE = Path(__file__).with_name("validate.py")


def judged(python: str, crate: Path) -> int:
    """Exit status of the validator, which has an environment of its own."""
    return subprocess.run([python, VALIDATE, crate], check=False).returncode


def finished(folder: Path) -> Study:
    """The tests' study with its models."""
    tiny.tiny_sd1(folder / "models" / "pipeline")
    tiny_judges.tiny_clip(folder / "models" / "clip")
    tiny_judges.tiny_segmenter(folder / "models" / "segmenter")
    return new_study(folder / "study", folder / "models")


def main() -> None:
    """Print what the validator says."""
    if sys.flags.optimize:
        raise SystemExit("not with -O: what is checked are assertions")
    with tempfile.TemporaryDirectory() as name:
        study = finished(Path(name))
        study.snakemake("provenance")
        crate = study.folder / "results" / "tiny"
        assert judged(sys.argv[1], crate) == 0
        metadata = crate / "ro-crate-metadata.json"
        whole = json.loads(metadata.read_text("utf-8"))
        (root,) = (entity for entity in whole["@graph"] if entity["@id"] == "./")
        del root["mainEntity"]
        metadata.write_text(json.dumps(whole))
        assert judged(sys.argv[1], crate) != 0
        print("a finished study's crate is valid, and refused without its workflow")


if __name__ == "__main__":
    main()
