"""Choose the queries that the report shows, and shrink their images."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cir.core.errors import UserError
from cir.edits.reading.word_splitter import word_spans
from cir.images.shards import ImageShards
from cir.retrieval.breakdown import spread

_QUALITY = 85


@dataclass(frozen=True)
class Answer:
    """A query with the images that were found for it.

    Attributes:
        kind: the kind of the edit, such as "+1 -2".
        novel: whether the edit has names that training never showed.
        labels: the label of the tagger for every word of `sentence`.
        rank: the rank of the target, counted from 1.
        answers: the first images found, best first; `scores` has their similarities.
    """

    query: str
    kind: str
    objects: int
    novel: bool
    sentence: str
    labels: Sequence[str]
    reference: str
    target: str
    rank: int
    target_score: float
    answers: Sequence[str]
    scores: Sequence[float]

    @property
    def right(self) -> bool:
        return self.rank == 1

    @property
    def position(self) -> int | None:
        """The position of the target among the answers, from 0; None if it is not among them."""
        return self.answers.index(self.target) if self.target in self.answers else None

    def pieces(self) -> list[tuple[str, str]]:
        """Split the sentence into runs of words with one label: (text, "other", "pos" or "neg").

        A space between two words of one label belongs to their run.
        """
        pieces: list[tuple[str, str]] = []
        end_before = 0
        for (start, end), label in zip(word_spans(self.sentence), self.labels, strict=True):
            gap = self.sentence[end_before:start]
            if pieces and pieces[-1][1] == label:
                pieces[-1] = (pieces[-1][0] + gap + self.sentence[start:end], label)
            else:
                if gap:
                    pieces.append((gap, "other"))
                pieces.append((self.sentence[start:end], label))
            end_before = end
        if rest := self.sentence[end_before:]:  # marks that are no words, such as an emoji
            pieces.append((rest, "other"))
        return pieces


@dataclass(frozen=True)
class Gallery:
    """The queries that are shown, failures first.

    `total` counts all queries and `failures` all failed ones, shown or not. `images` maps the id
    of each image shown to its data URI, and `contents` to the names of its objects, if known.
    """

    shown: Sequence[Answer]
    total: int
    failures: int
    images: Mapping[str, str]
    contents: Mapping[str, str]


def read_answers(path: Path) -> list[Answer]:
    """Read the table of answers that the score stage wrote.

    Raises UserError if it is missing, lacks a column or does not have one label for each word.
    """
    fields = list(Answer.__dataclass_fields__)
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the score stage") from None
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path} is not a Parquet file: {first}; run the score stage") from None
    lacking = ", ".join(sorted(set(fields) - set(table.column_names)))
    if lacking:
        raise UserError(f"{path} lacks the columns {lacking}; run the score stage again")
    rows = table.select(fields).to_pylist()
    for row in rows:
        words = len(word_spans(row["sentence"]))
        if len(row["labels"]) != words:
            raise UserError(
                f"{path}: query {row['query']} has {len(row['labels'])} labels for {words} words; "
                "run the score stage again"
            )
    return [Answer(**row) for row in rows]


def build_gallery(
    answers: Sequence[Answer], images: ImageShards, queries: int, thumbnail: int
) -> Gallery:
    """Choose up to `queries` of the answers and shrink their images.

    `thumbnail` is the longest side of an image in pixels. Raises UserError if an answer names an
    image that is not in `images`.
    """
    shown = choose(answers, queries)
    names = {name for a in shown for name in (a.reference, a.target, *a.answers)}
    lacking = sorted(name for name in names if name not in images)
    if lacking:
        raise UserError(
            f"the answers name {len(lacking)} images that {images.folder} does not hold, such as "
            f"{lacking[0]}; run the score stage again"
        )
    return Gallery(
        shown=shown,
        total=len(answers),
        failures=sum(not answer.right for answer in answers),
        images={name: data_uri(images.image(name), thumbnail) for name in sorted(names)},
        contents={name: ", ".join(images.objects(name)) for name in sorted(names)},
    )


def choose(answers: Sequence[Answer], count: int) -> list[Answer]:
    """Choose up to `count` answers: failures first, from the worst rank on, then right ones.

    Failures and right ones are each spread evenly over the kinds of edits.
    """
    kinds = [answer.kind for answer in answers]
    ranks = [answer.rank for answer in answers]
    worst_first = sorted(range(len(answers)), key=lambda row: -ranks[row])
    lost = spread([row for row in worst_first if ranks[row] > 1], kinds, count)
    lost.sort(key=lambda row: (-ranks[row], row))
    right = [row for row, rank in enumerate(ranks) if rank == 1]
    return [answers[row] for row in [*lost, *spread(right, kinds, count - len(lost))]]


def data_uri(image: Image.Image, pixels: int) -> str:
    """Encode the image as a data URI with no side over `pixels`; a small image keeps its size."""
    small = image.copy()
    small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
