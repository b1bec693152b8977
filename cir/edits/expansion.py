"""Fill templates with object names to make tagged sentences; hold out templates and names.

split              templates    names
train              training     training
seen               training     training (other fillings)
unseen_objects     training     held-out
unseen_templates   held-out     training
both_unseen        held-out     held-out
validation         validation   training
"""

import itertools
import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value
from datasets import Sequence as ListOf

from cir.core.english import FUNCTION_WORDS, plural
from cir.core.errors import UserError
from cir.edits.params import ExpandTemplates
from cir.edits.reading.templates import TaggedSentence, Template, fill
from cir.edits.reading.word_splitter import LABELS, split_words

SPLITS = (
    *("train", "validation", "seen", "unseen_templates", "unseen_objects", "both_unseen"),
    "unseen_families",
)
COLOURS = (
    *("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown"),
    *("black", "white", "gray", "beige", "golden"),
)
SHADES = ("light", "dark")
_SHADED = 0.1  # share of the coloured names: "dark red kite"

_ASKS_FOR_PLURAL = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|dozen"
    r"|some|several|many|a few|both|these|those|more"
    r"|(?:all|both|most)(?: of)? (?:the|these|those|your|my)"
    r"|(?:pair|couple|trio|quartet|dozens|hundreds|handful|bunch|group|cluster|row|number|lots"
    r"|plenty) of)\s+$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Expansion:
    """The tagged sentences of each split, and the templates and names of each side."""

    sentences: dict[str, list[TaggedSentence]]
    templates: dict[str, list[Template]]
    names: dict[str, list[str]]


def read_names(path: Path | str) -> list[str]:
    """Read one object name per line; skip empty lines and lines that begin with "#".

    Raises UserError with the line number for a repeated name, or for a name with a punctuation
    mark that stands alone.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: this file of object names does not exist.") from None
    names: list[str] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name = " ".join(line.split())
        if not name or name.startswith("#"):
            continue
        if not all(any(map(str.isalnum, word)) for word in split_words(name)):
            raise UserError(f"{path}, line {number}: {name!r} has a mark outside its words.")
        if name.lower() in first_line:
            earlier = first_line[name.lower()]
            raise UserError(f"{path}, line {number}: {name!r} is on line {earlier} already.")
        first_line[name.lower()] = number
        names.append(name)
    if not names:
        raise UserError(f"{path}: expected at least one object name.")
    return names


def expand(
    templates: Sequence[Template],
    names: Sequence[str],
    recipe: ExpandTemplates,
    seed: int,
    families: tuple[Sequence[Template], Sequence[str]] = ((), ()),
) -> Expansion:
    """Fill each template exactly `recipe.fillings` times.

    `families` are the templates that are held out as families (`cir.edits.held_out`), and the names
    to fill them with; the other templates are split by `split_templates`.

    The fillings of a template depend only on the seed, the template and the names. Raises
    UserError if a side of the split has too few names for a template.
    """
    training, testing = _shares(recipe, "seen", "unseen_objects"), _shares(recipe, "both_unseen")
    apart, family_names = families
    taken = set(apart)
    rest = [item for item in templates if item not in taken]
    split = split_templates(rest, recipe.validation_templates, recipe.test_templates, seed)
    split["families"] = list(apart)
    fixed = [*COLOURS, *SHADES, *(piece for item in templates for piece in item.pieces)]
    sides = split_names(names, fixed, recipe.test_names, seed)
    sides["families"] = list(family_names)
    plan = {  # template split: (where its sentences go, names, how many)
        "train": (
            ("train", "train", training["rest"]),
            ("seen", "train", training["seen"]),
            ("unseen_objects", "test", training["unseen_objects"]),
        ),
        "validation": (("validation", "train", recipe.fillings),),
        "test": (
            ("unseen_templates", "train", testing["rest"]),
            ("both_unseen", "test", testing["both_unseen"]),
        ),
        "families": (("unseen_families", "families", recipe.fillings),),
    }
    sentences: dict[str, list[TaggedSentence]] = {name: [] for name in SPLITS}
    for kind, shares in plan.items():
        for template in split[kind]:
            rng = random.Random(f"{seed} {template.template}")
            used: set[str] = set()
            for target, side, count in shares:
                _check_enough(template, sides[side], side, recipe.fillings)
                for _ in range(count):
                    sentence = _filled_anew(template, sides[side], recipe.coloured, rng, used)
                    sentences[target].append(sentence)
    return Expansion(sentences, split, sides)


def _shares(recipe: ExpandTemplates, *splits: str) -> dict[str, int]:
    """Count the sentences that each split gets from one template; "rest" counts the others."""
    counts = {name: max(1, round(getattr(recipe, name) * recipe.fillings)) for name in splits}
    rest = recipe.fillings - sum(counts.values())
    if rest < 1:
        given = " and ".join(f"{name} takes {count}" for name, count in counts.items())
        raise UserError(
            f"expand_templates: no filling of a template is left for training or unseen_templates: "
            f"there are {recipe.fillings} fillings, but {given}."
        )
    return {**counts, "rest": rest}


def _check_enough(template: Template, names: Sequence[str], side: str, fillings: int) -> None:
    slots = len(template.slots)
    if math.perm(len(names), slots) < fillings:
        raise UserError(
            f"Template {template.template!r} needs {slots} different object names in {fillings} "
            f"different fillings, but there are only {len(names)} names for {side}."
        )


def _filled_anew(
    template: Template, names: Sequence[str], coloured: float, rng: random.Random, used: set[str]
) -> TaggedSentence:
    while True:  # this ends: `_check_enough` counted more choices of names than fillings
        chosen = rng.sample(names, len(template.slots))
        sentence = fill_in_order(template, [coloured_name(name, coloured, rng) for name in chosen])
        if sentence.text not in used:
            used.add(sentence.text)
            return sentence


def coloured_name(name: str, coloured: float, rng: random.Random) -> str:
    """Put a colour before the share `coloured` of the names."""
    if rng.random() >= coloured:
        return name
    shade = rng.choice(SHADES) + " " if rng.random() < _SHADED else ""
    return f"{shade}{rng.choice(COLOURS)} {name}"


def fill_in_order(template: Template, names: Sequence[str]) -> TaggedSentence:
    """Fill each slot with one name, in order; after words such as "two" the name is plural."""
    assert len(names) == len(template.slots), (template, names)
    by_label: dict[str, list[str]] = {"pos": [], "neg": []}
    for piece, label, name in zip(template.pieces, template.slots, names, strict=False):
        by_label[label].append(plural(name) if _ASKS_FOR_PLURAL.search(piece) else name)
    return fill(template, by_label["pos"], by_label["neg"])


def split_templates(
    templates: Sequence[Template], validation: float, test: float, seed: int
) -> dict[str, list[Template]]:
    """Split the templates into train, validation and test with similar styles and edits.

    The templates are sorted by additions, removals and style, with equal ones in random order.
    Held-out templates are taken at even distances, so that every part gets each kind of edit that
    has more templates than one distance.
    """
    rng = random.Random(f"templates {seed}")
    shuffled = rng.sample(list(templates), len(templates))
    ordered = sorted(shuffled, key=lambda item: (item.additions, item.removals, item.style))
    is_test = _evenly(len(ordered), test, rng.random())
    rest = [item for item, held in zip(ordered, is_test, strict=True) if not held]
    is_validation = _evenly(len(rest), validation / (1 - test), rng.random())
    return {
        "train": [item for item, held in zip(rest, is_validation, strict=True) if not held],
        "validation": [item for item, held in zip(rest, is_validation, strict=True) if held],
        "test": [item for item, held in zip(ordered, is_test, strict=True) if held],
    }


def _evenly(count: int, share: float, start: float) -> list[bool]:
    marks = [math.floor(start + share * number) for number in range(count + 1)]
    return [later > earlier for earlier, later in itertools.pairwise(marks)]


def split_names(
    names: Sequence[str], fixed: Iterable[str], test: float, seed: int
) -> dict[str, list[str]]:
    """Hold out names so that training sentences contain none of their words, in any number.

    Function words ("of", "with", "that") do not count.

    Names that share a word go to the same side: "wine bottle" is not held out while training uses
    "bottle". A name that shares a word with the `fixed` texts is for training, because training
    always contains these texts.
    """
    known = {word for text in fixed for word in _known_words(text)}
    groups = [group for group in _groups_by_word(names) if not known & group.words]
    random.Random(f"names {seed}").shuffle(groups)
    wanted = round(test * len(names))
    held: set[str] = set()
    for group in groups:
        if len(held) + len(group.names) <= wanted:
            held |= group.names
    return {
        "train": [name for name in names if name not in held],
        "test": [name for name in names if name in held],
    }


@dataclass
class _Group:
    names: set[str]
    words: set[str]


def _groups_by_word(names: Iterable[str]) -> list[_Group]:
    """Group the names that share words, directly or through other names."""
    group_of: dict[str, _Group] = {}
    for name in names:
        merged = _Group({name}, _known_words(name))
        for word in sorted(merged.words):
            if word in group_of:
                merged.names |= group_of[word].names
                merged.words |= group_of[word].words
        group_of.update(dict.fromkeys(merged.words, merged))
    return list({id(group): group for group in group_of.values()}.values())


def _known_words(text: str) -> set[str]:
    words = {part for word in split_words(text.lower()) for part in (word, *word.split("-"))}
    said = {word for word in words if word.isalnum()} - FUNCTION_WORDS
    return {form for word in said for form in (word, plural(word))}


def to_dataset(sentences: Iterable[TaggedSentence]) -> Dataset:
    """Convert sentences to a Hugging Face dataset; LABELS names the classes of `labels`."""
    columns = [asdict(sentence) for sentence in sentences]
    features = Features(
        {
            "text": Value("string"),
            "words": ListOf(Value("string")),
            "labels": ListOf(ClassLabel(names=list(LABELS))),
            "template": Value("string"),
            "style": Value("string"),
            "add": ListOf(Value("string")),
            "remove": ListOf(Value("string")),
        }
    )
    return Dataset.from_list(columns, features=features)


def from_dataset(dataset: Dataset) -> list[TaggedSentence]:
    """Convert a dataset made by `to_dataset` back to sentences."""
    read = []
    for row in dataset:
        row["labels"] = [LABELS[label] for label in row["labels"]]
        lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
        read.append(TaggedSentence(**{**row, **lists}))
    return read
