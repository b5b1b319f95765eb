"""The job that compares words and methods: parts of four tables of a batch from its word maps."""

from collections.abc import Mapping, Sequence

from stepscope.scores.word_agreement import agreement_table
from stepscope.scores.word_order import order_table
from stepscope.scores.word_regions import interaction_table, region_table
from stepscope.scores.word_relevance import relevance_table
from stepscope.store import tables
from stepscope.store.maps import open_masks, read_interactions, read_methods
from stepscope.store.traces import open_trace


def write_comparisons(
    paths: Mapping[str, str], *, traces: str, masks: str, maps: Sequence[str], keys: dict[str, str]
) -> None:
    """Write a batch's parts of rq2_agreement, rq2_order, rq2_regions and rq2_interactions."""
    tree, of_methods = open_trace(traces), read_methods(maps)
    tables.write(paths["rq2_agreement"], agreement_table(of_methods, tree, keys))
    relevance = relevance_table(of_methods, tree, keys)
    tables.write(paths["rq2_order"], order_table(relevance, tree))
    tables.write(paths["rq2_regions"], region_table(of_methods, tree, open_masks(masks), keys))
    interactions = interaction_table(read_interactions(maps), tree, keys)
    tables.write(paths["rq2_interactions"], interactions)
