"""Read Fashion200k: product photos with captions; a query exchanges one word of a caption.

    labels/*_{train,test}_detect_all.txt   path, detection score and caption between tabs
    women/<category>/<caption>/<id>/*.jpeg the cropped photos
    test_queries.txt                       source and target of a test query in each line

Training pairs and test queries are those of Vo et al., "Composing Text and Image for Image
Retrieval" (TIRG), CVPR 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.tables import read_text
from cir.published.datasets.base import Part, PublishedDataset, Query, QuerySet
from cir.published.datasets.reading import MissingError, require_layout
from cir.published.datasets.word_exchange import WordPairs, by_caption, query_text
from cir.retrieval.ranking.protocol import Protocol, Text

_MARKS = {".": "dotmark", "?": "questionmark", "&": "andmark", "*": "starmark"}


@dataclass(frozen=True)
class Fashion200k(PublishedDataset):
    """Fashion200k under `root`.

    `text`: a query says which word to replace, or gives the target's whole caption. The second is
    ComposeAE's option for complete texts, and it gives the answer away. `deletion`: see
    `word_exchange.parents`.
    """

    title: ClassVar[str] = "Fashion200k"
    root: Path
    text: Text = "the change"
    deletion: Literal["legacy", "fixed"] = "legacy"
    reference_kept: bool = False

    def parts(self) -> tuple[Part, ...]:
        """Train and test; there is no validation split."""
        return Part("train", "train", self._pairs), Part("test", "test", self._query_set)

    def _pairs(self) -> WordPairs:
        captions, notes = self._captions("train")
        images = {name: self.root / name for name in captions}
        return WordPairs(f"{self.title} train", captions, images, self.deletion, self.text, notes)

    def _query_set(self) -> QuerySet:
        captions, notes = self._captions("test")
        hits = {caption: frozenset(names) for caption, names in by_caption(captions).items()}
        queries = []
        for number, (source, target) in enumerate(self._pairs_of_lines(captions)):
            text = query_text(captions[source], captions[target], self.text)
            answers = hits[captions[target]]
            if source in answers and not self.reference_kept:
                answers -= {source}
            queries.append(Query(f"line-{number + 1}", source, (text,), answers, target))
        protocol = Protocol(
            "all test images",
            reference_kept=self.reference_kept,
            hit="any image of its caption",
            dataset=self.title,
            split="test",
            text=self.text,
            deletion=self.deletion,
        )
        images = {name: self.root / name for name in captions}
        name = f"{self.title} test"
        return QuerySet(name, tuple(queries), tuple(captions), images, protocol, notes)

    def _pairs_of_lines(self, captions: Mapping[str, str]) -> list[tuple[str, str]]:
        path = self.root / "test_queries.txt"
        if not path.exists():
            raise MissingError(
                f"{path} does not exist: it is the list of test queries that is published with "
                "TIRG's code, not with the photos"
            )
        lines = [line.split() for line in _lines(path)]
        wrong = [number for number, names in enumerate(lines, 1) if len(names) != 2]
        if wrong:
            raise UserError(
                f"{path}: {len(wrong)} of {len(lines)} lines are not a source and a target: "
                f"lines {listed(wrong)}"
            )
        unknown = [name for names in lines for name in names if name not in captions]
        if unknown:
            raise UserError(
                f"{path}: {len(unknown)} of {2 * len(lines)} images are in no test file of "
                f"labels/, so not in the gallery: {listed(unknown)}"
            )
        return [(source, target) for source, target in lines]

    def _captions(self, split: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return captions by image path, and notes."""
        require_layout(self.root, self.title)
        named = (self.root / "labels").glob(f"*{split}*.txt")
        paths = sorted(path for path in named if not path.name.startswith("."))
        if not paths:
            raise MissingError(f"{self.root}: no file labels/*{split}*.txt")
        captions: dict[str, str] = {}
        repeated = []
        for path in paths:
            lines = [line.split("\t") for line in _lines(path)]
            wrong = [k for k, values in enumerate(lines, 1) if len(values) < 3 or not values[0]]
            wrong += [k for k, values in enumerate(lines, 1) if not "".join(values[2:3]).strip()]
            if wrong:
                raise UserError(
                    f"{path}: {len(set(wrong))} of {len(lines)} lines are not a path, a score and "
                    f"a caption between tabs: lines {listed(sorted(set(wrong)))}"
                )
            for name, _, caption, *_ in lines:
                repeated += [name] if name in captions else []
                captions.setdefault(name, _marked(caption))
        note = f"{len(repeated)} images are listed again; their first caption counts: "
        return captions, (note + listed(repeated),) if repeated else ()


def _lines(path: Path) -> list[str]:
    lines = read_text(path, "a text file").split("\n")
    lines = lines[:-1] if not lines[-1] else lines
    if not lines:
        raise UserError(f"{path} is empty")
    return lines


def _marked(caption: str) -> str:
    caption = caption.strip()
    for mark, word in _MARKS.items():
        caption = caption.replace(mark, word)
    return caption
