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
class EncodedSplit:
    """The triplets of a split and the features of their images, names and texts, none normalised.

    Args:
        ids: ids of the N images.
        images: float32 [N, D].
        names: M different names.
        name_features: float32 [M, D].
        texts: float32 [T, E] for each encoded text, by its key in cir.composers.base.TEXTS.
        triplets: T triplets.
        edits: the edit of each triplet.
        objects: the objects that each image shows, by id; empty where the source does not say.
    """

    ids: tuple[str, ...]
    images: torch.Tensor
    names: tuple[str, ...]
    name_features: torch.Tensor
    texts: Mapping[str, torch.Tensor]
    triplets: tuple[Triplet, ...]
    edits: tuple[Edit, ...]
    objects: Mapping[str, tuple[str, ...]]

    def rows(self, images: Iterable[str]) -> list[int]:
        """Return the row of each image, by its id."""
        row_of = {name: row for row, name in enumerate(self.ids)}
        return [row_of[name] for name in images]

    def encoded_edits(self, text: str) -> EncodedEdits:
        """Return the edits with their features for composers that read `text`, a key of TEXTS."""
        return EncodedEdits(self.edits, self.names, self.name_features, self.texts.get(text))

    def to(self, device: torch.device | str) -> "EncodedSplit":
        """Return this split with its features on the device."""
        return replace(
            self,
            images=self.images.to(device),
            name_features=self.name_features.to(device),
            texts={kind: text.to(device) for kind, text in self.texts.items()},
        )

    def save(self, folder: Path) -> None:
        """Write the split into an existing folder."""
        tensors = {f"text.{kind}": text for kind, text in self.texts.items()}
        tensors |= {"images": self.images, "names": self.name_features}
        save_file({n: t.cpu().contiguous() for n, t in tensors.items()}, folder / _FEATURES)
        rows = {
            "ids": self.ids,
            "names": self.names,
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
            return cls(
                tuple(rows["ids"]),
                tensors.pop("images"),
                tuple(rows["names"]),
                tensors.pop("names"),
                {name.removeprefix("text."): text for name, text in tensors.items()},
                tuple(Triplet(**_tuples(row)) for row in rows["triplets"]),
                tuple(Edit(**_tuples(row)) for row in rows["edits"]),
                _tuples(rows["objects"]),
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder} is not an encoded split: {error!r} in its files") from None


def encode_split(
    encoder: Encoder,
    pixels: Pixels,
    ids: Sequence[str],
    triplets: Sequence[Triplet],
    edits: Sequence[Edit],
    objects: Mapping[str, Sequence[str]],
    batch_size: int = 128,
) -> EncodedSplit:
    """Encode images, names and texts, each of them once.

    Args:
        encoder: on any device; the features are on the same.
        pixels: the images.
        ids: the images to encode, at least those that the triplets name.
        triplets, edits, objects: see EncodedSplit. All names in them are encoded.
        batch_size: images encoded at once.
    """
    starts = range(0, len(ids), batch_size)
    images = [torch.zeros(0, encoder.dim, device=encoder.device)]
    shown = (name for image in ids for name in objects.get(image, ()))
    names = list(dict.fromkeys([*names_in(edits), *shown]))
    with torch.no_grad():
        for start in progress(starts, len(starts), "encoding the images", "batches"):
            images.append(encoder.encode_images(pixels.get(ids[start : start + batch_size])))
        name_features = encode_each_once(names, encoder.encode_names)
        texts = {which: encode_texts_once(encoder, edits, which) for which in TEXTS}
    return EncodedSplit(
        tuple(ids),
        torch.cat(images),
        tuple(names),
        name_features,
        {which: text for which, text in texts.items() if text is not None},
        tuple(triplets),
        tuple(edits),
        objects,
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
    # Each image is needed once, so none is kept in memory.
    pixels = Pixels(shards, encoder, budget=0)
    return encode_split(encoder, pixels, ids, triplets, edits, objects).to("cpu")


def _tuples(row: Mapping[str, object]) -> dict:
    """Turn the lists of JSON into the tuples of the records."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
