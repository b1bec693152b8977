"""Encode the images, names and texts of a split once, for composers to train on.

A saved split is a folder with two files: `features.safetensors` holds the vectors, and
`split.json` the ids, names, triplets and edits of their rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cir.composers.base import TEXTS, EncodedEdits, names_in
from cir.composers.model import encode_texts_once
from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import progress
from cir.core.records import Edit, Triplet
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.encoders.texts import encode_each_once
from cir.images.shards import ImageShards, read_triplets
from cir.training.shared.batches import Pixels

_FEATURES, _ROWS = "features.safetensors", "split.json"


@dataclass(frozen=True)
class Features:
    """The features of a split's images, names and texts, none normalised.

    Args:
        ids: ids of the N images.
        images: float32 [N, D].
        names: M different names.
        name_features: float32 [M, D].
        text: float32 [T, E], for the edits of T triplets; None for composers that read names only.
    """

    ids: tuple[str, ...]
    images: torch.Tensor
    names: tuple[str, ...]
    name_features: torch.Tensor
    text: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> "Features":
        """Return these features on the device."""
        return replace(
            self,
            images=self.images.to(device),
            name_features=self.name_features.to(device),
            text=None if self.text is None else self.text.to(device),
        )

    def with_texts(self, encoder: Encoder, edits: Sequence[Edit], which: str) -> "Features":
        """Return these features with the text `which` of each edit, a key of TEXTS."""
        with torch.no_grad():
            return replace(self, text=encode_texts_once(encoder, edits, which))

    def encoded(self, edits: Sequence[Edit]) -> EncodedEdits:
        """Return the triplets' edits with these features."""
        return EncodedEdits(edits, self.names, self.name_features, self.text)

    def rows(self, images: Iterable[str]) -> list[int]:
        """Return the row of each image, by its id."""
        row_of = {name: row for row, name in enumerate(self.ids)}
        return [row_of[name] for name in images]


def encode_split(
    encoder: Encoder,
    pixels: Pixels,
    ids: Sequence[str],
    edits: Sequence[Edit],
    objects: Mapping[str, Sequence[str]],
    batch_size: int = 128,
) -> Features:
    """Encode the images `ids`, and all names in the edits and in the images' `objects`."""
    starts = range(0, len(ids), batch_size)
    images = [torch.zeros(0, encoder.dim, device=encoder.device)]
    shown = (name for image in ids for name in objects.get(image, ()))
    names = list(dict.fromkeys([*names_in(edits), *shown]))
    with torch.no_grad():
        for start in progress(starts, len(starts), "encoding the images", "batches"):
            images.append(encoder.encode_images(pixels.get(ids[start : start + batch_size])))
        name_features = encode_each_once(names, encoder.encode_names)
    return Features(tuple(ids), torch.cat(images), tuple(names), name_features)


@dataclass(frozen=True)
class EncodedSplit:
    """The triplets of a split, and their features.

    Args:
        features: features of images and names.
        texts: float32 [T, E] for each encoded text, by its key in cir.composers.base.TEXTS.
        triplets: T triplets.
        edits: the edit of each triplet.
        objects: the objects that each image shows, by id; empty where the source does not say.
    """

    features: Features
    texts: Mapping[str, torch.Tensor]
    triplets: tuple[Triplet, ...]
    edits: tuple[Edit, ...]
    objects: Mapping[str, tuple[str, ...]]

    def features_for(self, which: str) -> Features:
        """Return the features with the text `which`, a key of TEXTS."""
        return replace(self.features, text=self.texts.get(which))

    def to(self, device: torch.device | str) -> "EncodedSplit":
        """Return this split with its features on the device."""
        texts = {kind: text.to(device) for kind, text in self.texts.items()}
        return replace(self, features=self.features.to(device), texts=texts)

    def save(self, folder: Path) -> None:
        """Write the split into an existing folder."""
        features = self.features
        tensors = {f"text.{kind}": text for kind, text in self.texts.items()}
        tensors |= {"images": features.images, "names": features.name_features}
        save_file({n: t.cpu().contiguous() for n, t in tensors.items()}, folder / _FEATURES)
        rows = {
            "ids": features.ids,
            "names": features.names,
            "triplets": [asdict(triplet) for triplet in self.triplets],
            "edits": [asdict(edit) for edit in self.edits],
            "objects": self.objects,
        }
        files.write_json(folder / _ROWS, rows)

    @classmethod
    def load(cls, folder: Path) -> "EncodedSplit":
        """Read a saved split.

        Raises:
            UserError: a file is missing or broken.
        """
        rows = files.read_json(folder / _ROWS)
        try:
            tensors = load_file(folder / _FEATURES)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder / _FEATURES} cannot be read: {error}") from None
        try:
            return cls._of(rows, tensors)
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder} is not an encoded split: {error!r} in its files") from None

    @classmethod
    def _of(cls, rows: dict, tensors: dict[str, torch.Tensor]) -> "EncodedSplit":
        texts = {
            name.removeprefix("text."): tensors.pop(name)
            for name in list(tensors)
            if name.startswith("text.")
        }
        ids, names = tuple(rows["ids"]), tuple(rows["names"])
        return cls(
            Features(ids, tensors["images"], names, tensors["names"]),
            texts,
            tuple(Triplet(**_tuples(row)) for row in rows["triplets"]),
            tuple(Edit(**_tuples(row)) for row in rows["edits"]),
            _tuples(rows["objects"]),
        )


def encode_folder(
    folder: Path,
    encoder: Encoder,
    tagger: Tagger,
    most: int | None = None,
    whole_gallery: bool = False,
) -> EncodedSplit:
    """Tag and encode the triplets of a split, with every text that can be encoded.

    Args:
        folder: the split, see cir.images.shards.
        encoder: may be on any device; the features are moved to main memory.
        tagger: reads the sentences.
        most: use the first `most` triplets only.
        whole_gallery: encode all images, not only references and targets.
    """
    shards, triplets = ImageShards(folder), read_triplets(folder)[:most]
    edits = tagger.tag([triplet.text for triplet in triplets])
    named = {name for triplet in triplets for name in (triplet.reference, triplet.target)}
    ids = shards.ids if whole_gallery else sorted(named)
    objects = {name: tuple(shards.objects(name) or ()) for name in ids}
    # No image is needed twice, so none is kept once it is encoded.
    features = encode_split(encoder, Pixels(shards, encoder, budget=0), ids, edits, objects)
    texts = {
        which: features.with_texts(encoder, edits, which).text
        for which, read in TEXTS.items()
        if read is not None
    }
    return EncodedSplit(features, texts, tuple(triplets), tuple(edits), objects).to("cpu")


def _tuples(row: Mapping[str, object]) -> dict:
    """Turn the lists of JSON into the tuples of the records."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
