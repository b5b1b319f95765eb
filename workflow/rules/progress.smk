# How far a run is (the Snakefile starts it), and in the end what its failed jobs failed of.
from snakemake.logging import logger

ready("progress.reporter", "progress.rescheduling")

from stepscope.progress import reporter, rescheduling

KEPT_ESTIMATES = f"results/{config['study']}/.estimate.json"
progress = reporter.Reporter(workflow, logger, KEPT_ESTIMATES)


onsuccess:
    progress.stop()


onerror:
    progress.stop()
    for sentence in reporter.failures(workflow.scheduler.failed):
        logger.error(sentence)
