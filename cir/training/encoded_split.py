"""A split whose images, names and texts are encoded once, for composers to train on.

On disk it is a folder: `features.safetensors` with the vectors, and `split.json` with what each
row stands for.
"""

from collections.abc import Mapping, Sequence
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
    """What an encoder makes of a split, each image, name and text once; nothing is normalised.

    Args:
        ids: of the N images.
        images: float32 [N, D].
        names: M different names.
        name_features: float32 [M, D].
        text: float32 [T, E], of the T triplets' edits; None for composers that read names only.
    """

    ids: tuple[str, ...]
    images: torch.Tensor
    names: tuple[str, ...]
    name_features: torch.Tensor
    text: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> "Features":
        """The same with its vectors on this device."""
        return replace(
            self,
            images=self.images.to(device),
            name_features=self.name_features.to(device),
            text=None if self.text is None else self.text.to(device),
        )

    def with_texts(self, encoder: Encoder, edits: Sequence[Edit], which: str) -> "Features":
        """The same with the texts that composers of `text: which` read (see TEXTS)."""
        with torch.no_grad():
            return replace(self, text=encode_texts_once(encoder, edits, which))

    def encoded(self, edits: Sequence[Edit]) -> EncodedEdits:
        """The triplets' edits with these features."""
        return EncodedEdits(edits, self.names, self.name_features, self.text)


def encode_split(
    encoder: Encoder,
    pixels: Pixels,
    ids: Sequence[str],
    edits: Sequence[Edit],
    objects: Mapping[str, Sequence[str]],
    batch_size: int = 128,
) -> Features:
    """Encode the images, and every name that an edit or an image (`objects`) holds."""
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
    """A split for composers: its triplets, what they ask for, and all of it encoded.

    Args:
        features: of images and names.
        texts: float32 [T, E] by kind of text (see cir.composers.base.TEXTS).
        triplets: T of them.
        edits: of the triplets.
        objects: for each image id what it shows; empty where the source does not say.
    """

    features: Features
    texts: Mapping[str, torch.Tensor]
    triplets: tuple[Triplet, ...]
    edits: tuple[Edit, ...]
    objects: Mapping[str, tuple[str, ...]]

    def features_for(self, which: str) -> Features:
        """The features with the text that composers of `text: which` read."""
        return replace(self.features, text=self.texts.get(which))

    def to(self, device: torch.device | str) -> "EncodedSplit":
        """The same with its vectors on this device."""
        texts = {kind: text.to(device) for kind, text in self.texts.items()}
        return replace(self, features=self.features.to(device), texts=texts)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
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
        """Read what `save` wrote; UserError where it is missing or broken."""
        rows = files.read_json(folder / _ROWS)
        try:
            tensors = load_file(folder / _FEATURES)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder / _FEATURES} cannot be read: {error}") from None
        try:
            return cls._of(rows, tensors)
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder} is no encoded split: {error!r} in its files") from None

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
    """Tag and encode the triplets of a split (see cir.images.shards), with both kinds of text.

    The vectors are in main memory, wherever the encoder is.

    Args:
        most: how many triplets at most, the first ones.
        whole_gallery: encode all images, not only those that are a reference or a target.
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
    """JSON has lists where the records have tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
