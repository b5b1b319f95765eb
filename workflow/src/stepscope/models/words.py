"""The words of a prompt, and the tokens they are made of in each text that a network reads."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stepscope.language import spans, words

if TYPE_CHECKING:  # a stored step needs words, and no library of models
    from transformers import PreTrainedTokenizerBase

PADDING, IMAGE = "<padding>", "<image>"  # rows that sum up what is no token


@dataclass(frozen=True)
class Word:
    """A word of a prompt: its place among the words, its text and role, and its tokens.

    `tokens` are rows of the attention maps (see `Reading`); a word of several tokens is the sum
    of their rows, and where a network reads the prompt twice, those of both texts.
    """

    index: int
    text: str
    role: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """A text that a network attends to: its tokenizer and its number of keys.

    `twins` are tokenizers whose features are channels of the same keys, as XL's second one;
    `tokenizer` is None for a text encoder that was left out: all its keys are padding.
    """

    tokenizer: "PreTrainedTokenizerBase | None"
    length: int
    twins: "tuple[PreTrainedTokenizerBase, ...]" = ()


@dataclass(frozen=True)
class Reading:
    """A prompt as a network reads it.

    `names` name the rows of its attention maps: of each text its tokens with start and end, then
    its summed padding; last, in joint attention, the summed image. `rows` is the row of every
    text key. `words` are the prompt's words.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...]
    words: tuple[Word, ...]


class Spoken(NamedTuple):
    """A word as it stands in a prompt: its first character, the one behind it, and its text."""

    start: int
    end: int
    text: str


def spoken(prompt: str, tokenizers: "Sequence[PreTrainedTokenizerBase]") -> list[Spoken]:
    """Words of a prompt in which names of textual inversion have become their tokens.

    Such a name is one word with all its tokens ("<cat-toy> <cat-toy>_1"), whatever signs it has.
    """
    found = [Spoken(start, end, prompt[start:end]) for start, end in spans(prompt)]
    added = {name for tokenizer in tokenizers for name in _added(tokenizer) if name in prompt}
    if not added:
        return found
    names = "|".join(map(re.escape, sorted(added, key=len, reverse=True)))
    for match in re.finditer(rf"(?P<name>{names})(?:\s+(?P=name)_\d+)*", prompt):
        start, end, name = *match.span(), match["name"]
        text = " ".join(name[a:b] for a, b in spans(name)) or name
        others = [word for word in found if word.end <= start or word.start >= end]
        found = [*others, Spoken(start, end, text)]
    return sorted(found)


def _added(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    """Tokens that a tokenizer was taught later, such as those of textual inversion."""
    return set(tokenizer.added_tokens_encoder) - set(tokenizer.all_special_tokens)


def read(
    texts: Sequence[Text], prompt: str, roles: Mapping[str, str] | None = None, image: bool = False
) -> Reading:
    """How a network reads `prompt`: rows of attention, and words found by character offsets.

    `prompt` is as the tokenizers are given it, names of textual inversion as their tokens. Repeated
    words stay apart and punctuation is no word. `roles` maps a role to its word (or to several,
    "polka dot"); every occurrence of the word gets the role, of a word that is subject and object
    ("a bear next to a bear") the first is the subject and the others are the object. `image` adds a
    row for the image keys of joint attention.
    """
    roles_of: dict[str, list[str]] = {}
    for role, text in (roles or {}).items():
        for name in words(text):
            roles_of.setdefault(name, []).append(role)
    tokenizers = [text.tokenizer for text in texts if text.tokenizer is not None]
    said = spoken(prompt, tokenizers)
    names: list[str] = []
    rows: list[int] = []
    tokens_of: dict[int, list[int]] = {}
    for read_text in texts:
        start, tokens = len(names), []
        if read_text.tokenizer is not None:
            for index, places in _places(read_text.tokenizer, prompt, said).items():
                tokens_of.setdefault(index, []).extend(start + place for place in places)
            ids = read_text.tokenizer(prompt)["input_ids"]
            tokens = read_text.tokenizer.convert_ids_to_tokens(ids)
        names += [_shown(token) for token in tokens] + [PADDING]
        rows += range(start, start + len(tokens))
        rows += [start + len(tokens)] * (read_text.length - len(tokens))
    found = []
    for index, word in enumerate(said):
        left = next((roles_of[name] for name in words(word.text) if name in roles_of), [""])
        role = left.pop(0) if len(left) > 1 else left[0]
        found.append(Word(index, word.text, role, tuple(tokens_of.get(index, ()))))
    if image:
        names.append(IMAGE)
    return Reading(tuple(names), tuple(rows), tuple(found))


def positions(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> dict[int, tuple[int, ...]]:
    """Positions, in the token sequence, of each word's tokens, by the word's index.

    A token belongs to the words that it shares a character with; CLIP's start token is 0.
    """
    return _places(tokenizer, prompt, spoken(prompt, [tokenizer]))


def _places(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, said: Sequence[Spoken]
) -> dict[int, tuple[int, ...]]:
    """Positions as `positions`, of words that are known."""
    offsets = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    return {
        index: tuple(
            i for i, (a, b) in enumerate(offsets) if a < min(b, word.end) and b > max(a, word.start)
        )
        for index, word in enumerate(said)
    }


def check_length(texts: Sequence[Text], prompt: str, where: str) -> None:
    """Refuse a prompt, or a negative one, that a text encoder would cut.

    The tokenizers alone decide; the ValueError is one sentence that begins with `where`.
    """
    for text in texts:
        if text.tokenizer is None:
            continue
        ids = text.tokenizer(prompt)["input_ids"]
        if len(ids) > text.length:
            raise ValueError(
                f"{where}: the prompt {prompt!r} has {len(ids)} tokens with those added to it, "
                f"the text encoder takes {text.length}."
            )


def check(texts: Sequence[Text], prompt: str, where: str) -> None:
    """Refuse a prompt that a text encoder would cut, or that twins would split differently.

    The ValueError is one sentence that begins with `where`.
    """
    check_length(texts, prompt, where)
    for text in texts:
        splits = {
            tuple(tokenizer.convert_ids_to_tokens(tokenizer(prompt)["input_ids"]))
            for tokenizer in (text.tokenizer, *text.twins)
            if tokenizer is not None
        }
        if len(splits) > 1:
            raise ValueError(
                f"{where}: the two tokenizers split the prompt {prompt!r} differently."
            )


class Padded:
    """A tokenizer that puts padding in the place of some words of each prompt, positions kept.

    Where the model masks its padding, the words are masked too.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", words: Sequence[Collection[int]]
    ) -> None:
        """`words` are indices, a collection for each prompt that will be given."""
        self._tokenizer, self._words = tokenizer, words

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, prompts: str | list[str], **options: Any) -> Any:
        """What the tokenizer returns, with the words' tokens replaced."""
        inputs = self._tokenizer(prompts, **options)
        given = [prompts] if isinstance(prompts, str) else prompts
        for row, (prompt, lacking) in enumerate(zip(given, self._words, strict=True)):
            tokens_of = positions(self._tokenizer, prompt) if lacking else {}
            places = [place for word in lacking for place in tokens_of[word]]
            inputs["input_ids"][row, places] = self._tokenizer.pad_token_id
            if "attention_mask" in inputs:
                inputs["attention_mask"][row, places] = 0
        return inputs


def _shown(token: str) -> str:
    """A token as it is shown: without the marks of a word's end (CLIP) or beginning (T5)."""
    return token.removesuffix("</w>").removeprefix("\u2581")
