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
INTERVAL = ("n", "noises", "missing", "estimate", "ci_low", "ci_high")


@dataclass(frozen=True)
class Table:
    """A table of measurements.

    `question` is the target that makes it. A row of its summary is about model, dataset, sampling
    and `groups`; `quantities` are the numbers that are summarised, `paired` says whether
    methods are also compared with the baselines, `courses` which quantities are also compared
    with the step before, and `pooled` which are also averaged over steps.
    """

    question: str
    columns: tuple[str, ...]
    groups: tuple[str, ...]
    quantities: tuple[str, ...]
    paired: bool = False
    courses: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()


TABLES = {
    "rq1_recovery": Table(
        question="rq1",
        columns=(*KEYS, "prediction", "region", "band", "recovered"),
        groups=(*STEP, "prediction", "region", "band"),
        quantities=("recovered",),
    ),
    "rq1_saliency": Table(
        question="rq1",
        columns=(*KEYS, "method", "semantic_mass", "detail_correlation", "detail_partial"),
        groups=(*STEP, "method"),
        quantities=("semantic_mass", "detail_correlation", "detail_partial"),
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
        columns=(*KEYS, *WORD, *FOUND, "mass"),
        groups=(*STEP, "role", "method"),
        quantities=(*FOUND, "mass"),
        paired=True,
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
        columns=(*KEYS, "prediction", "family", "concept", "probability", "margin"),
        groups=(*STEP, "prediction", "family"),
        quantities=("probability", "margin"),
    ),
    "rq3_emergence": Table(
        question="rq3",
        columns=(
            *(*SAMPLE, "prediction", "family", "concept"),
            *("onset_step", "onset_timestep", "onset_log_snr"),
        ),
        groups=("prediction", "family"),
        quantities=("onset_step", "onset_log_snr"),
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
WHOLE = {
    "claims": CLAIMS,
    "world_clock": WORLD_CLOCK,
    "world_clock_families": WORLD_CLOCK_FAMILIES,
}
NUMBERS = {
    *("seed", "word_index", "move", "normalised", "p_value", *STEP, *INTERVAL),
    *("without_objects", "at_chance", "with_centre"),
    *("onset_step", "onset_timestep", "onset_log_snr", "relevance_minmax"),
    *("steps", "log_snr_low", "log_snr_high"),
    *(name for table in TABLES.values() for name in table.quantities),
}
# Columns that stay text when a table is read: a prompt may hold the word "nan".
TEXT = frozenset(
    name
    for columns in (
        CLAIMS,
        ("reader", "quantity", "compared"),
        *(table.columns for table in TABLES.values()),
    )
    for name in columns
    if name not in NUMBERS
)
