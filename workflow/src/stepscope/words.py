"""The words of a prompt and the tokens they are made of."""

import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

WORD = re.compile(
    r"\w+(?:[-'\u2019]\w+)*"
)  # a hyphen or apostrophe stays inside; the rest separates


@dataclass(frozen=True)
class Word:
    """A word of a prompt: its place among the words, its text and role, and its tokens.

    ``tokens`` are positions in the padded token sequence, the start token being 0.
    """

    index: int
    text: str
    role: str
    tokens: tuple[int, ...]


def words(
    tokenizer: PreTrainedTokenizerBase, prompt: str, roles: dict[str, str] | None = None
) -> tuple[Word, ...]:
    """Words of ``prompt`` with their tokens, found by character offsets.

    Repeated words stay apart and punctuation is no word. ``roles`` maps a role to its word (or to
    several, "polka dot"); every occurrence of the word gets the role.
    """
    role_of = {
        match.group().lower(): role
        for role, text in (roles or {}).items()
        for match in WORD.finditer(text)
    }
    spans = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    found = []
    for index, match in enumerate(WORD.finditer(prompt)):
        start, end = match.span()
        tokens = (i for i, (a, b) in enumerate(spans) if a < min(b, end) and b > max(a, start))
        text = match.group()
        found.append(Word(index, text, role_of.get(text.lower(), ""), tuple(tokens)))
    return tuple(found)


def token_text(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[str]:
    """Names of a prompt's rows of attention: start, its tokens, end and the summed padding."""
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(prompt)["input_ids"])
    return [*(token.removesuffix("</w>") for token in tokens), "<padding>"]


def check_length(tokenizer: PreTrainedTokenizerBase, prompt: str, place: str) -> None:
    """Refuse a prompt that the text encoder would cut; the tokenizer alone decides."""
    count, limit = len(tokenizer(prompt)["input_ids"]), tokenizer.model_max_length
    if count > limit:
        raise ValueError(
            f"{place}: the prompt {prompt!r} has {count} tokens with start and end, "
            f"the text encoder takes {limit}."
        )
