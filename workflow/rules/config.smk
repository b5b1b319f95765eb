# The study's files, read as they are written before Snakemake makes one mapping of them.
from contextlib import contextmanager

ready("escapes", "study.config_file")

from stepscope.escapes import escaped
from stepscope.study import config_file


@contextmanager
def one_sentence():
    """Turn a ValueError into what Snakemake prints without a traceback."""
    try:
        yield
    except ValueError as error:
        raise WorkflowError(escaped(str(error))) from None


DEFAULT = "config/config.yaml"
# A study given with --configfile is complete and is never merged over the default one.
IS_DEFAULT = "study" not in config and not workflow.overwrite_configfiles
STUDY_FILES = [os.path.relpath(path) for path in workflow.configfiles]
STUDY_FILES += [DEFAULT] if IS_DEFAULT else []
with one_sentence():
    for path in STUDY_FILES:
        config_file.check_file(path)
