"""Names of textual inversion in a real pipeline: one word, whatever the number of their vectors."""

import pytest
import torch

from stepscope.models.families import registry
from support import tiny
from support.traced import traced

PROMPT = "a <cat-toy> on a ball"


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_name_of_several_vectors_is_one_word(vectors):
    pipeline = tiny.tiny_sd1()
    width = pipeline.text_encoder.config.hidden_size
    learned = torch.randn(vectors, width, generator=torch.Generator().manual_seed(0))
    pipeline.load_textual_inversion(learned, token="<cat-toy>")
    _, found = traced(pipeline, prompt=PROMPT, num_inference_steps=2)
    (words,) = found.words
    assert [word.text for word in words] == ["a", "cat-toy", "on", "a", "ball"]
    assert words[1].tokens == tuple(range(2, 2 + vectors))
    spoken = [token for word in words for token in word.tokens]
    assert spoken == list(range(1, 5 + vectors))  # each token once
    with pytest.raises(ValueError, match="tokens"):
        registry.family_of(pipeline).encode([("cat " * 40, ())])
    # the word's padding is the prompt's own length: all after it keeps its place
    family = registry.family_of(pipeline)
    whole, without = (family.encode([(PROMPT, words)])["prompt_embeds"][0] for words in ((), (1,)))
    changed = (whole != without).any(-1).nonzero().flatten().tolist()
    assert changed[0] == 2
    assert torch.equal(whole[:2], without[:2])
