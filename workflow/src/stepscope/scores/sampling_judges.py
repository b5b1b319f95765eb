"""What judges see in the final pictures of samplings: where objects are, and which concepts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stepscope.language import is_background
from stepscope.models import folders, judges
from stepscope.pictures.ground import normalisation, segmented
from stepscope.scores import readers
from stepscope.scores.concepts import classifier, features, scored


class Seen(NamedTuple):
    """What judges see in the pictures of some samples.

    `objects` (sample, y, x) bool is where things are, None without a segmenter's labels;
    `probabilities` (sample, concept) are by (reader, family).
    """

    objects: np.ndarray | None
    probabilities: dict[tuple[str, str], np.ndarray]


class Judges:
    """A segmenter, a CLIP and perhaps another reader, loaded once for all pictures."""

    def __init__(
        self,
        ground: dict[str, Any],
        clip: dict[str, Any],
        reader: tuple[str, Mapping[str, Any]] | None,
        concept_families: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.families, self.reader = concept_families, reader
        model: Any = judges.load_clip({key: of for key, of in clip.items() if key != "fingerprint"})
        self.clip, self.preprocess, tokenizer = model
        self.texts = {
            name: classifier(self.clip, tokenizer, about["templates"], about["concepts"])
            for name, about in concept_families.items()
        }
        self.segmenter = None
        if ground["kind"] == "segmenter":
            folder = folders.folder_of(ground)
            self.segmenter = (*judges.load_segmenter({"folder": folder}), normalisation(folder))

    def see(self, pictures: np.ndarray) -> Seen:
        """What is seen in pictures (sample, y, x, rgb) u1."""
        cosines = features(self.clip, self.preprocess, pictures)
        scale = self.clip.logit_scale.detach().exp().item()
        found = {}
        for family, texts in self.texts.items():
            found[(readers.CLIP, family)], _ = scored(cosines @ texts.cpu().numpy().T, scale)
        if self.reader is not None:
            name, entry = self.reader
            concepts = {family: about["concepts"] for family, about in self.families.items()}
            for family, read in readers.read(pictures, entry, concepts).items():
                found[(name, family)] = read
        return Seen(self._objects(pictures), found)

    def _objects(self, pictures: np.ndarray) -> np.ndarray | None:
        """Where the segmenter sees anything but a background, (sample, y, x) bool."""
        if self.segmenter is None:
            return None
        model, labels, (mean, std) = self.segmenter
        things = [number for number, name in labels.items() if not is_background(name, "")]
        return np.isin(segmented(model, pictures, mean, std), things)
