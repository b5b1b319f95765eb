"""Seeds of prompts: as an entry names or draws them, and whether all prompts share theirs.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from stepscope.study.datasets.row import Record

LARGEST = 2**32 - 1  # torch's generator reads 32 bits: 2**32 would be the noise of seed 0 again


def of_prompts(prompt_ids: Iterable[str], seeds: int | Sequence[int]) -> dict[str, list[int]]:
    """Seeds of each prompt: those of a list, or so many drawn for each, no two prompts the same.

    A drawn seed depends on its prompt_id and its number alone, so that neither the order of a table
    nor other prompts change it. Where two prompts draw the same one of 2**31, the one that comes
    later in the alphabet takes its next.
    """
    if not isinstance(seeds, int):
        return {prompt_id: list(seeds) for prompt_id in prompt_ids}
    taken: set[int] = set()
    by_prompt: dict[str, list[int]] = {}
    for prompt_id in sorted(prompt_ids):
        own = by_prompt[prompt_id] = []
        for seed in _stream(prompt_id):
            if len(own) == seeds:
                break
            if seed not in taken:
                taken.add(seed)
                own.append(seed)
    return by_prompt


def _stream(prompt_id: str) -> Iterator[int]:
    """Seeds of 31 bits that a prompt draws, one after another, the same on every machine."""
    for number in count():
        digest = hashlib.sha256(f"{prompt_id}/{number}".encode()).digest()
        yield int.from_bytes(digest[:4], "big") >> 1


def shared(records: Sequence[Record]) -> int:
    """Number of noises that all prompts start from, if none has one besides; 0 otherwise."""
    seeds = [set(record["seeds"]) for record in records]
    every = set().union(*seeds)
    return len(every) if len(seeds) > 1 and every in seeds else 0
