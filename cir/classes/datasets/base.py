"""Define labelled images, the four parts that a source makes of them, and notes about both."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from cir.core.errors import UserError
from cir.images.shards import Row
from cir.images.splitting import Split

PARTS = ("train", "val", "query", "gallery")


@dataclass(frozen=True)
class LabelledImage:
    """An image: its id, the name of its class, and a digest of its content, equal for copies."""

    id: str
    label: str
    content: str


Images = tuple[LabelledImage, ...]
Rows = Callable[[Sequence[LabelledImage]], Iterable[Row]]


def counted(number: int, one: str, many: str) -> str:
    """Write the number with its noun, such as "1 class" or "2 classes"."""
    return f"{number:,} {one if number == 1 else many}"


class Findings:
    """Collects images that are left out (`left_out`, by reason) and sentences (`notes`).

    Unusable data raise UserError unless `leave_out` is true.
    """

    def __init__(self, leave_out: bool) -> None:
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._leave_out = leave_out

    def permit(self, sentence: str) -> None:
        """Raise UserError with the sentence about unusable data unless these are left out."""
        if not self._leave_out:
            raise UserError(f"{sentence}; with unusable: leave_out they are left out")

    def aside(self) -> str:
        """Return the end of a sentence that counts what was left out, or "" if nothing was."""
        told = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return f"; left out before: {told}" if told else ""

    def without(self, images: Images, unusable: Set[str], kind: str, sentence: str) -> Images:
        """Return the images without the unusable ids, which are counted under `kind`.

        Raises UserError with the sentence if unusable images are refused.
        """
        if not unusable:
            return images
        self.permit(sentence)
        self.left_out[kind] += len(unusable)
        self.notes.append(f"left out: {sentence}")
        return tuple(image for image in images if image.id not in unusable)


@dataclass(frozen=True)
class ClassParts:
    """The images of each of PARTS, with the data for their infos; see make_splits."""

    source: str
    images: Mapping[str, Images]
    gallery_is_training: bool
    left_out: Mapping[str, int]
    notes: Sequence[str]

    def splits(self, rows: Rows) -> dict[str, Split]:
        """Return the parts to be written; `rows` makes the rows of images, in their order."""
        return {
            part: Split(len(self.images[part]), rows(self.images[part]), (), self._info(part))
            for part in PARTS
        }

    def _info(self, part: str) -> dict:
        counts = Counter(image.label for image in self.images[part])
        trained = {image.label for image in self.images["train"]}
        return {
            "source": self.source,
            "classes": dict(sorted(counts.items())),
            "classes_in_training": len(counts.keys() & trained),
            "gallery_is_training": self.gallery_is_training,
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }
