"""Columns that tables share, and those of tables that no batch has a part of.

A Snakefile imports this module, so it uses the standard library alone.
"""

SAMPLE = ("model", "dataset", "sampling", "prompt_id", "seed")
STEP = ("step", "timestep", "log_snr")
KEYS = (*SAMPLE, *STEP)
INTERVAL = ("n", "noises", "missing", "estimate", "ci_low", "ci_high")
JUDGED = ("n", "noises", "estimate", "ci_low", "ci_high", "p_value", "verdict", "reason")
CLAIMS = (
    *("model", "dataset", "claim", "statement", "statistic", *JUDGED),
    *("without_objects", "at_chance", "with_centre", "lacking"),
)
SENSITIVITY = ("model", "dataset", "masks", "claim", "statistic", "choice", "instead", *JUDGED)
# When each concept is decided, by every clock of a study, all batches together.
CLOCKS: tuple[str, ...] = (*SAMPLE, "family", "clock", "reader", "log_snr", "lower", "upper")
CLOCKS += ("censored", "within_steps")
CLOCKS_NULL = ("denoiser", *CLOCKS)
CLOCKS_SUMMARY = (*SAMPLE[:3], "family", "clock", "reader", "quantity", "compared", *INTERVAL)
# What linear probes read of activations, and since when, of all batches of a sampling together.
PROBED = ("model", "dataset", "sampling", "reader", "family", "prompts", "layer", "half")
READ = ("accuracy", "balanced_accuracy", "control_mean", "control_high")
PROBES = (*PROBED, *STEP, "n", "samples", "noises", "classes", "left_out", "chance", *READ)
PROBES_SUMMARY = (*PROBED, "quantity", "compared", "n", "samples", "noises", *INTERVAL[3:])
# The truth in time of the composed scenes, which is of no study.
WORLD_CLOCK = (
    *("reader", "family", "log_snr", "accuracy", "ci_low", "ci_high"),
    *("posterior", "ess", "chance", "scenes", "noises"),
)
WORLD_CLOCK_FAMILIES = (
    *("reader", "family", "energy", "two_nats_log_snr", "middle_log_snr", "ci_low", "ci_high"),
    *("lag", "lag_low", "lag_high", "scenes"),
)
# Tables that no batch has a part of.
WHOLE = {"claims": CLAIMS, "rq3_clocks": CLOCKS, "rq3_clocks_summary": CLOCKS_SUMMARY}
WHOLE |= {"rq3_clocks_null": CLOCKS_NULL}
WHOLE |= {"rq1_sensitivity": SENSITIVITY}
WHOLE |= {"world_clock": WORLD_CLOCK, "world_clock_families": WORLD_CLOCK_FAMILIES}
WHOLE |= {"rq3_probes": PROBES, "rq3_probes_summary": PROBES_SUMMARY}
