"""Read the templates of edit sentences, and fill them with object names.

A template is a sentence such as "Swap the <negative_object> for a <positive_object>.". A positive
object is to be added, a negative object is to be removed. A filled template is a sentence with a
label for each word; the tagger learns to predict these labels.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cir.core.english import article
from cir.core.errors import UserError
from cir.edits.reading.word_splitter import LABELS, spans_of, split_words, word_spans

POSITIVE_SLOT = "<positive_object>"
NEGATIVE_SLOT = "<negative_object>"
SLOT_LABELS = {POSITIVE_SLOT: "pos", NEGATIVE_SLOT: "neg"}

_ANY_SLOT = re.compile(r"<[^<>]*>")
_ARTICLE = re.compile(r"\b([aA])n?(\s+)$")


@dataclass(frozen=True)
class TaggedSentence:
    """A filled template: `words[i]` has the label `labels[i]`; `add` and `remove` are the names.

    The words are those of `split_words(text)`. `template` is the text of the template.
    """

    text: str
    words: tuple[str, ...]
    labels: tuple[str, ...]
    template: str
    style: str
    add: tuple[str, ...]
    remove: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """A sentence with slots, and its style of asking."""

    template: str
    style: str

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The label ("pos" or "neg") of each slot, in order."""
        return tuple(SLOT_LABELS[slot] for slot in _ANY_SLOT.findall(self.template))

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The fixed text around the slots; there is one piece more than slots."""
        return tuple(_ANY_SLOT.split(self.template))

    @property
    def additions(self) -> int:
        return self.slots.count("pos")

    @property
    def removals(self) -> int:
        return self.slots.count("neg")


def fill(template: Template, add: Sequence[str], remove: Sequence[str]) -> TaggedSentence:
    """Put the names into the slots in order, and label each word.

    An "a" or "an" directly before a slot is made to fit the name. A sentence that begins with a
    slot gets a capital letter. There must be exactly one name for each slot.
    """
    assert len(add) == template.additions, (template, add)
    assert len(remove) == template.removals, (template, remove)
    names = {"pos": iter(add), "neg": iter(remove)}
    text = ""
    filled: list[tuple[int, int, str]] = []
    for piece, label in zip(template.pieces, template.slots, strict=False):
        name = next(names[label])
        right = article(name)
        text += _ARTICLE.sub(lambda found, right=right: found[1] + right[1:] + found[2], piece)
        filled.append((len(text), len(text) + len(name), label))
        text += name
    text += template.pieces[-1]
    if template.pieces[0] == "":
        text = text[0].upper() + text[1:]
    words, labels = _label_words(text, filled)
    style = template.style
    return TaggedSentence(text, words, labels, template.template, style, tuple(add), tuple(remove))


def _label_words(
    text: str, filled: Sequence[tuple[int, int, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    words, labels = [], []
    for start, end in word_spans(text):
        inside = [label for first, last, label in filled if first <= start and end <= last]
        words.append(text[start:end])
        labels.append(inside[0] if inside else "other")
    return tuple(words), tuple(labels)


def load_templates(path: Path | str) -> list[Template]:
    """Read a JSON list of {"template", "style"}.

    Raises UserError for a missing file and for any other content. Raises UserError that names the
    template if a template has no slot, an unknown slot or a slot that touches a word or another
    slot, or if it differs from an earlier template only in case, spaces and punctuation.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: this file of templates does not exist.") from None
    except ValueError as error:
        raise UserError(f"{path}: expected a JSON list of templates ({error}).") from None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: expected a JSON list with at least one template.")
    templates: list[Template] = []
    earlier: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{path}, template {number}"
        template = _check(entry, where)
        form = normal_form(template)
        if form in earlier:
            raise UserError(
                f"{where} ({template.template!r}) differs from template {earlier[form]} only in "
                "case, spaces and punctuation."
            )
        earlier[form] = number
        templates.append(template)
    return templates


def _check(entry: object, where: str) -> Template:
    is_pair = isinstance(entry, dict) and set(entry) == {"template", "style"}
    if not is_pair or not all(isinstance(value, str) and value.strip() for value in entry.values()):
        raise UserError(f'{where}: expected {{"template": text, "style": text}}, got {entry!r}.')
    text = entry["template"]
    slots = _ANY_SLOT.findall(text)
    unknown = [slot for slot in slots if slot not in SLOT_LABELS]
    if unknown:
        raise UserError(
            f"{where} ({text!r}) has the unknown slot {unknown[0]}; "
            f"the slots are {POSITIVE_SLOT} and {NEGATIVE_SLOT}."
        )
    if not slots:
        raise UserError(f"{where} ({text!r}) has no slot {POSITIVE_SLOT} or {NEGATIVE_SLOT}.")
    template = Template(text.strip(), entry["style"].strip())
    numbered = iter(f"object{number}" for number in range(len(slots)))
    names = {
        label: [next(numbered) for _ in range(template.slots.count(label))] for label in LABELS
    }
    filled = fill(template, names["pos"], names["neg"])
    if len(spans_of(filled.labels)) != len(slots):
        raise UserError(
            f"{where} ({text!r}) has a slot that touches a word or another slot; "
            "put a space between them, or a mark that is not a hyphen or an apostrophe."
        )
    return template


def normal_form(template: Template) -> str:
    """Keep only words and slots, in lower case, so that equal forms mean equal templates."""
    words = [word.lower() for piece in template.pieces for word in [*split_words(piece), "<>"]]
    slots = iter((*template.slots, ""))
    kept = [next(slots) if word == "<>" else word for word in words]
    return " ".join(word for word in kept if any(letter.isalnum() for letter in word))
