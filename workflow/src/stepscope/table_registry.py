"""Every table of a study: the question it belongs to, its columns, and how it is summarised.

A Snakefile imports this module, so it uses the standard library alone.
"""

from dataclasses import dataclass

SAMPLE = ("model", "dataset", "sampling", "prompt_id", "seed")
STEP = ("step", "timestep", "log_snr")
KEYS = (*SAMPLE, *STEP)
WORD = ("word", "word_index", "role", "method")
FOUND = ("pointing", "pointing_near", "iou", "iou_best", "iou_held_out", "average_precision")
SUMMED = (
    *("pointing", "iou_best", "average_precision"),
    *("pointing_gain", "iou_best_gain", "average_precision_gain"),  # over single steps' mean
)
HEADS = ("layer", "head", "resolution")
GAME = ("method", "similarity", "game", "substrate", "score")
VARIANCES = ("variance_low", "variance_mid", "variance_high")
SALIENCY = (
    *("semantic_mass", "background_mass", "border_mass", "pointing"),
    *("detail_correlation", "detail_partial", "detail_reliability", "detail_corrected"),
)
KEPT = ("entropy", "agreement", "kept")
NULL, NAMED = ("denoiser", "reader", "family"), ("named", "beyond_chance")
CONTROLLED = ("correlation", "ceiling", "other_sample")
INTERVAL = ("n", "noises", "missing", "estimate", "ci_low", "ci_high")


@dataclass(frozen=True)
class Table:
    """A table of measurements.

    `question` is the target that makes it. A row of its summary is about model, dataset, sampling
    and `groups`; `quantities` are the numbers that are summarised, `paired` says whether methods
    are also compared with the baselines, `courses` which quantities are also compared with the step
    before, `pooled` which are also averaged over steps, and `null` names the prediction with which
    the others are compared.
    """

    question: str
    columns: tuple[str, ...]
    groups: tuple[str, ...]
    quantities: tuple[str, ...]
    paired: bool = False
    courses: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    null: str = ""


TABLES = {
    "rq1_recovery": Table(
        question="rq1",
        columns=(*KEYS, "masks", "prediction", "region", "band", "recovered"),
        groups=(*STEP, "masks", "prediction", "region", "band"),
        quantities=("recovered",),
        null="gaussian",
    ),
    "rq1_saliency": Table(
        question="rq1",
        columns=(*KEYS, "masks", "method", "tolerance", *SALIENCY),
        groups=(*STEP, "masks", "method"),
        quantities=SALIENCY,
        paired=True,
        courses=("semantic_mass", "detail_partial"),
    ),
    "rq1_auc": Table(
        question="rq1",
        columns=(*KEYS, *GAME, "auc_distance", "auc_similarity", "auc_normalised"),
        groups=(*STEP, *GAME),
        quantities=("auc_distance", "auc_similarity", "auc_normalised"),
        paired=True,
        pooled=("auc_normalised",),
    ),
    "rq1_curves": Table(
        question="rq1",
        columns=(*KEYS, *GAME, "move", "value", "normalised"),
        groups=(*STEP, *GAME, "move"),
        quantities=("value",),
    ),
    "rq1_substrates": Table(
        question="rq1",
        columns=(*KEYS, "substrate", "changed", "norm", *VARIANCES),
        groups=(*STEP, "substrate", "changed"),
        quantities=("norm", *VARIANCES),
    ),
    "rq1_controls": Table(
        question="rq1_controls",  # a part of rq1, in studies that have controls
        columns=(*KEYS, *WORD, "control", "block", "depth", *CONTROLLED),
        groups=(*STEP, "method", "control", "block", "depth"),
        quantities=CONTROLLED,
        pooled=CONTROLLED,
    ),
    "rq1_convergence": Table(
        question="rq1_convergence",
        columns=(*KEYS, "estimator", "score", "calls_to_correlation", "calls_to_error"),
        groups=(*STEP, "estimator", "score"),
        quantities=("calls_to_correlation", "calls_to_error"),
    ),
    "rq2_relevance": Table(
        question="rq2",
        columns=(*KEYS, *WORD, "relevance", "relevance_minmax"),
        groups=(*STEP, "role", "method"),
        quantities=("share",),
    ),
    "rq2_grounding": Table(
        question="rq2",
        columns=(*KEYS, "masks", *WORD, *FOUND, "mass"),
        groups=(*STEP, "masks", "role", "method"),
        quantities=(*FOUND, "mass"),
        paired=True,
    ),
    "rq2_agreement": Table(
        question="rq2",
        columns=(
            *(*SAMPLE, "method", "other", "over", "agreement", "swapped_words"),
            *("swapped_prompts", "shifted", "beyond_words", "beyond_prompts"),
        ),
        groups=("method", "other", "over"),
        quantities=("agreement", "beyond_words", "beyond_prompts", "shifted"),
    ),
    "rq2_order": Table(
        question="rq2",
        columns=(
            *(*SAMPLE, *WORD, "slot", "word_order", "position", "peak_step", "peak_log_snr"),
            *("centre_log_snr", "centre_rank", "reign_log_snr", "reign_low", "reign_high"),
        ),
        groups=("role", "word_order", "method"),
        quantities=("peak_log_snr", "centre_log_snr", "centre_rank", "position", "reign_log_snr"),
    ),
    "rq2_regions": Table(
        question="rq2",
        columns=(*KEYS, *WORD, "own", "others", "gain"),
        groups=("role", "method"),
        quantities=("own", "others", "gain"),
    ),
    "rq2_interactions": Table(
        question="rq2",
        columns=(
            *(*KEYS, "word", "word_index", "role", "other_word", "other_index", "other_role"),
            *("method", "interaction"),
        ),
        groups=(*STEP, "role", "other_role", "method"),
        quantities=("interaction",),
    ),
    "rq2_summed": Table(
        question="rq2",
        columns=(*SAMPLE, *WORD, "steps", *SUMMED),
        groups=("role", "method"),
        quantities=SUMMED,
    ),
    "rq2_information": Table(
        question="rq2",
        columns=(*SAMPLE, *WORD, "steps", "log_snr_low", "log_snr_high", "nats"),
        groups=("role", "method"),
        quantities=("nats",),
    ),
    "rq2_heads": Table(
        question="rq2",
        columns=(*KEYS, *WORD, *HEADS, "pointing", "iou", "iou_best", "average_precision"),
        groups=(*STEP, "role", "method", *HEADS),
        quantities=("pointing", "iou", "iou_best", "average_precision"),
    ),
    "rq3_concepts": Table(
        question="rq3",
        columns=(*KEYS, "reader", "prediction", "family", "concept", "probability", "margin"),
        groups=(*STEP, "reader", "prediction", "family"),
        quantities=("probability", "margin"),
    ),
    "rq3_emergence": Table(
        question="rq3",
        columns=(
            *(*SAMPLE, "reader", "prediction", "family", "concept"),
            *("onset_step", "onset_timestep", "onset_log_snr", "counted", "shown", "chance"),
        ),
        groups=("reader", "prediction", "family"),
        quantities=("onset_step", "onset_log_snr"),
    ),
    "rq3_commitment": Table(
        question="rq3",
        columns=(
            *(*KEYS, "family", "trajectory", "from", "to", "reader"),
            *("probability", "wins", "lower", "upper"),
        ),
        groups=(*STEP, "family", "trajectory", "reader"),
        quantities=("wins", "probability"),
    ),
    "rq3_decided": Table(
        question="rq3",
        columns=(*KEYS, "given", "family", "concept", "reader", "draws", *KEPT, "lower", "upper"),
        groups=(*STEP, "given", "family", "reader"),
        quantities=KEPT,
    ),
    "rq3_nulls": Table(
        question="rq3",
        columns=(*SAMPLE, *NULL, "concept", "shown", "chance", "lower", "upper", *NAMED),
        groups=NULL,
        quantities=NAMED,
    ),
    "rq3_samplings": Table(
        question="rq3",
        columns=(*SAMPLE, "ends", "measure", "part", "reader", "value", "change"),
        groups=("ends", "measure", "part", "reader"),
        quantities=("value", "change"),
    ),
    "rq3_roles": Table(
        question="rq3",
        columns=(*SAMPLE, "role", "relevance"),
        groups=("role",),
        quantities=("relevance",),
    ),
}
CLAIMS = (
    *("model", "dataset", "claim", "statement", "statistic"),
    *("n", "noises", "estimate", "ci_low", "ci_high", "p_value", "verdict", "reason"),
    *("without_objects", "at_chance", "with_centre", "lacking"),
)
# When each concept is decided, by every clock of a study, all batches together.
CLOCKS: tuple[str, ...] = (*SAMPLE, "family", "clock", "reader", "log_snr", "lower", "upper")
CLOCKS += ("censored", "within_steps")
CLOCKS_NULL = ("denoiser", *CLOCKS)
CLOCKS_SUMMARY = (*SAMPLE[:3], "family", "clock", "reader", "quantity", "compared", *INTERVAL)
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
WHOLE |= {"world_clock": WORLD_CLOCK, "world_clock_families": WORLD_CLOCK_FAMILIES}
NUMBERS = {
    *("seed", "word_index", "move", "changed", "depth", "normalised", "p_value", *STEP, *INTERVAL),
    *("without_objects", "at_chance", "with_centre", "chance", "draws", "lower", "upper"),
    *("onset_step", "onset_timestep", "onset_log_snr", "relevance_minmax", "within_steps"),
    *("steps", "log_snr_low", "log_snr_high", "tolerance"),
    *("swapped_words", "swapped_prompts", "peak_step", "reign_low", "reign_high", "other_index"),
    *(name for table in TABLES.values() for name in table.quantities),
}
# Columns that stay text when a table is read: a prompt may hold the word "nan".
TEXT = frozenset(
    name
    for columns in (CLAIMS, CLOCKS, CLOCKS_SUMMARY, *(table.columns for table in TABLES.values()))
    for name in columns
    if name not in NUMBERS
)
