"""The tokenizer of the embedded study: one token for each word of a caption."""

import json
from pathlib import Path

from torch import Tensor
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from stepscope.embedded import captions, scenes

MAX_TOKENS = 28


def caption_words() -> list[str]:
    """Every word of a caption, in the order of their tokens."""
    concepts = (name for family in scenes.FAMILIES.values() for name in family)
    words = [word for concept in concepts for word in concept.split()]
    words += captions.OTHER_WORDS
    return list(dict.fromkeys(words))


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A `CLIPTokenizer` with one token a caption word; other words split into bytes or parts."""
    letters = list(bytes_to_unicode().values())
    vocabulary = letters + [letter + "</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in caption_words():
        parts = [*word[:-1], word[-1] + "</w>"]
        # what the merges so far make of the word, in their order of priority
        for pair in merges:
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == pair:
                    parts[i : i + 2] = ["".join(pair)]
                i += 1
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = ["".join(parts[:2])]
            vocabulary.append(parts[0])
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    ids, pairs = folder / "vocab.json", folder / "merges.txt"
    ids.write_text(json.dumps({t: i for i, t in enumerate(vocabulary)}, ensure_ascii=False))
    pairs.write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    # the end token pads, as in Stable Diffusion
    tokenizer = CLIPTokenizer(
        vocab=str(ids),
        merges=str(pairs),
        model_max_length=MAX_TOKENS,
        pad_token="<|endoftext|>",
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Padded token ids, int64 (n, longest that the tokenizer allows)."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
