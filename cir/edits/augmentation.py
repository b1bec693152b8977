"""Vary the training sentences without end, so that the tagger cannot learn them by heart.

A small tagger that starts from random weights memorises fixed training sentences and fails on new
ones. Here each use of a sentence gets other names, determiners, adjectives, places, verbs, lists,
openings and endings, and removals may become additions. The result depends only on the random
generator.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cir.core import files
from cir.core.english import article
from cir.edits.clauses import Clauses, compose, read_clauses
from cir.edits.expansion import fill_in_order
from cir.edits.made_up_names import NameMaker, WordMaker
from cir.edits.params import Varied
from cir.edits.reading.disturbances import ARTICLES, can_be_mistyped, mistype
from cir.edits.reading.templates import (
    NEGATIVE_SLOT,
    POSITIVE_SLOT,
    TaggedSentence,
    Template,
    normal_form,
)
from cir.edits.reading.word_splitter import split_words
from cir.edits.words import (
    AFTER_OBJECT,
    PLACE,
    EditWords,
    Reversal,
    any_of,
    read_edit_words,
    words_of,
)

_SLOT = f"(?:{POSITIVE_SLOT}|{NEGATIVE_SLOT})"
_SLOT_OR_TEXT = re.compile(f"({_SLOT})")
_DETERMINER = r"\b(?:an?|the|one|another|this|that|your|my|two|three|four|some)"
_BEFORE_SLOT = re.compile(rf"{_DETERMINER}(?= {_SLOT})", re.IGNORECASE)
_COUNTED = r"\b(?:pair|couple|trio|handful|bunch|group) of|\bdozen"
_DESCRIBABLE = re.compile(rf"(?:{_DETERMINER}|{_COUNTED})(?= {_SLOT})", re.IGNORECASE)
_LISTED = re.compile(rf"({_DETERMINER} )({_SLOT})", re.IGNORECASE)
_WORD_BEFORE_SLOT = re.compile(rf"([\w'’-]+) {_SLOT}")
_PLACEABLE = re.compile(rf"({_SLOT})(?=\s*[,;.:!?]|$| (?:and|for|with|gone|out|in|is|are)\b)")
_BEFORE_OBJECT = re.compile(rf" (?:(?:the|an?|any|some|this|that|my|your) )?{_SLOT}")
_BARE_SLOT = re.compile(rf"(?:^|(?<=[,;:] )|(?<=\band )|(?<=\bor ))(?={_SLOT})")
_WITH_BETWEEN = re.compile(rf"\bwith(?: [\w'’-]+){{0,3}} {_SLOT}", re.IGNORECASE)
_JOINTS = (". ", ", and ", "; ", " and ", ", then ", ". Also, ", ", also ", ", but ", " and then ")
_SUFFIXES = ("ful", "ous", "ing", "y", "ive", "ish", "less", "able", "ant", "al", "ic", "ed")
_MOST_SLOTS = 6
_INVENTED_VERBS = 400
_RARE = 3  # a word in no more templates than this may be hidden


@dataclass(frozen=True)
class Material:
    """The parts of sentences. `names` and `templates` are those of the training side."""

    templates: Sequence[Template]
    held_out: Sequence[Template]
    names: Sequence[str]
    words: EditWords
    clauses: Clauses


def read_material(tagging: Path, words: Path, clauses: Path) -> Material:
    """Read the parts of training sentences, without what is held out.

    Args:
        tagging: the folder of the stage expand_templates.
        words, clauses: the files of `read_edit_words` and `read_clauses`.
    """
    names = files.read_json(tagging / "names.json")
    templates = {
        split: [Template(**entry) for entry in entries]
        for split, entries in files.read_json(tagging / "templates.json").items()
    }
    return Material(
        templates=templates["train"],
        held_out=templates["validation"] + templates["test"] + templates["families"],
        names=names["train"],
        words=read_edit_words(words).without(names["train"], held_out=names["test"]),
        clauses=read_clauses(clauses).without(names["test"]),
    )


class Augmenter:
    """Makes filled and labelled variations of training templates.

    No variation equals a held-out template, whatever names fill them.
    """

    def __init__(self, material: Material, strength: Varied):
        self._material = material
        self._words = words = material.words
        self._strength = strength
        self._reversed = Reversal(words)
        self._held_out = {normal_form(template) for template in material.held_out}
        self._kept = _kept_words(material.templates, words)
        phrases = (*words.openings, *words.greetings, *words.adverbs, *words.endings, *words.asides)
        idle = words_of(phrases) | words.alternatives.keys()  # "image", "shot"
        others = _seldom_objects(material.templates) - self._kept - idle
        verbs = words_of(form for some in words.verbs.values() for forms in some for form in forms)
        others |= {word for word in verbs | {*words.describing} if len(word) > 3}
        self._name = NameMaker(material.names, sorted(others), words, strength)
        objects = "the|an?|any|some|all|that|this|my|your|it|them"
        direct = rf"(?= (?:{objects})\b| {_SLOT}|\s*[.,;!?]|$| from\b)"
        self._verb = re.compile(any_of(words.same_sense) + direct, re.IGNORECASE)
        after = [phrase for some in words.after.values() for phrase in some]
        self._after = re.compile(AFTER_OBJECT.format(any_of(after)), re.IGNORECASE)
        self._phrase = re.compile(any_of(words.alternatives), re.IGNORECASE)
        bases = [forms[0] for kind in words.verbs.values() for forms in kind]
        self._imperative = re.compile("^" + any_of(bases), re.IGNORECASE)
        self._verbs = words.verbs | words.moves | {"unknown": _invented_verbs(bases)}

    def __call__(self, template: Template, other: Template, rng: random.Random) -> TaggedSentence:
        """Vary `template`; sometimes append a variation of `other`."""
        start = template.template
        if rng.random() < self._strength.composed:
            start = compose(self._material.clauses, self._verbs, rng)
        text = self._allowed(self._vary(start, rng), template)
        if rng.random() < self._strength.joined and _slots(text) + len(other.slots) < 6:
            text = _join(text, self._allowed(self._vary(other.template, rng), other), rng)
        text = self._open_and_end(text, rng)
        text = self._hide(text, rng)
        if rng.random() < self._strength.idle:
            text = self._idle(text, rng)
        if rng.random() < self._strength.surface:
            text = _resurface(text, rng)
        varied = Template(self._allowed(text, template), template.style)
        between = _WITH_BETWEEN.search(varied.template) is not None
        sentence = fill_in_order(varied, [self._name(rng, between) for _ in varied.slots])
        return _mistyped(sentence, rng) if rng.random() < self._strength.typed else sentence

    def _allowed(self, text: str, template: Template) -> str:
        """Return `text`, or the training template's text if `text` equals a held-out template."""
        held_out = normal_form(Template(text, template.style)) in self._held_out
        return template.template if held_out else text

    def _vary(self, text: str, rng: random.Random) -> str:
        strength = self._strength
        if rng.random() < strength.opposite:
            text = self._reversed(text, rng)
        steps: list[tuple[float, re.Pattern, Callable[[re.Match, random.Random], str]]] = [
            (strength.verb, self._verb, self._other_verb),
            (strength.phrase, self._phrase, self._other_phrase),
            (strength.verb, self._after, self._other_after),
            (strength.listed, _LISTED, self._list),
            (strength.place, PLACE, self._other_place),
            (strength.determiner, _BEFORE_SLOT, self._other_determiner),
            (strength.determiner, _BARE_SLOT, self._determined),
            (strength.described, _DESCRIBABLE, self._describe),
            (strength.place / 2, _PLACEABLE, self._put_somewhere),
        ]
        for share, pattern, change in steps:
            text = pattern.sub(
                lambda found, share=share, change=change: (
                    change(found, rng) if rng.random() < share else found[0]
                ),
                text,
            )
        return text

    def _other_verb(self, found: re.Match, rng: random.Random) -> str:
        verb = rng.choice(self._words.same_sense[found[0].lower()])
        adverb = rng.choice(self._words.adverbs) + " " if rng.random() < 0.15 else ""
        rest = found.string[found.end() :]
        wide = _BEFORE_OBJECT.match(rest) and rng.random() < 0.06
        aside = f", {rng.choice(self._words.asides)}," if wide else ""
        return _like(found[0], adverb + verb + aside)

    def _other_phrase(self, found: re.Match, rng: random.Random) -> str:
        return _like(found[0], rng.choice(self._words.alternatives[found[0].lower()]))

    def _other_after(self, found: re.Match, rng: random.Random) -> str:
        for kind, slot in (("adding", POSITIVE_SLOT), ("removing", NEGATIVE_SLOT)):
            told_by = self._words.after[kind]
            if found.string[: found.start()].endswith(slot + " ") and found[0].lower() in told_by:
                return rng.choice(told_by)
        return found[0]

    def _list(self, found: re.Match, rng: random.Random) -> str:
        """Ask for two or three objects instead of one."""
        if _slots(found.string) >= _MOST_SLOTS - 1:
            return found[0]
        item = found[1].lower() + found[2]
        between = rng.choice(
            (" and ", " and ", ", ", ", and ", f", {item} and ", f", {item}, and ")
        )
        return found[0] + between + item

    def _other_place(self, found: re.Match, rng: random.Random) -> str:
        return f"{found[1]} {self._name(rng)}"

    def _other_determiner(self, found: re.Match, rng: random.Random) -> str:
        if rng.random() < 0.2:  # short notes have no determiner: "add hat"
            return "any" if found.start() == 0 else ""
        return _like(found[0], rng.choice(self._words.determiners))

    def _determined(self, found: re.Match, rng: random.Random) -> str:
        return rng.choice(self._words.determiners) + " "

    def _describe(self, found: re.Match, rng: random.Random) -> str:
        count = 1 if rng.random() < 0.75 else 2
        describing = " ".join(self._describing(rng) for _ in range(count))
        word = found[0]
        if word.lower() in ("a", "an"):
            word = word[0] + article(describing)[1:]
        return f"{word} {describing}"

    def _describing(self, rng: random.Random) -> str:
        if rng.random() < 0.95:
            return rng.choice(self._words.describing)
        return self._name.made_up_word(rng)[:6] + rng.choice(_SUFFIXES)

    def _put_somewhere(self, found: re.Match, rng: random.Random) -> str:
        if rng.random() < 0.2:
            return f"{found[0]} {rng.choice(self._words.tails)}"
        label = "pos" if found[0] == POSITIVE_SLOT else "neg"
        place = rng.choice(self._words.places[label])
        return (
            f"{found[0]} {place} {rng.choice(('the', 'the', 'the', 'a', 'my'))} {self._name(rng)}"
        )

    def _open_and_end(self, text: str, rng: random.Random) -> str:
        share, words = self._strength.opened, self._words
        if self._imperative.match(text) and rng.random() < 2 * share:
            text = f"{rng.choice(words.openings)} {text[0].lower()}{text[1:]}"
        if rng.random() < share:
            first = text[0].lower() if text[:2] not in ("I ", "I'") else text[0]
            text = f"{rng.choice(words.greetings)} {first}{text[1:]}"
        if rng.random() < share:
            ending = text[len(text.rstrip(" .!?;")) :]
            comma = rng.choice(("", ","))
            text = f"{text.rstrip(' .!?;')}{comma} {rng.choice(words.endings)}{ending}"
        return text

    def _idle(self, text: str, rng: random.Random) -> str:
        idle = rng.choice(self._material.clauses.idle)
        if rng.random() < 0.3:
            return idle
        joint = rng.choice((". ", ". ", "! ", "; ", ", but ", ", so ", ", "))
        first, second = (idle, text) if rng.random() < 0.7 else (text, idle)
        return first.rstrip(" .!?;") + joint + second

    def _hide(self, text: str, rng: random.Random) -> str:
        """Replace rare words by unknown ones, because new sentences contain unknown rare words."""
        parts = _SLOT_OR_TEXT.split(text)
        for index in range(0, len(parts), 2):
            parts[index] = _PLAIN_WORD.sub(
                lambda found: (
                    self._name.made_up_word(rng)
                    if found[0].lower() not in self._kept and rng.random() < self._strength.hidden
                    else found[0]
                ),
                parts[index],
            )
        return "".join(parts)


def _invented_verbs(bases: Sequence[str]) -> list[tuple[str, str, str]]:
    """Invent verbs that look like the given ones, as (base, -ing form, participle)."""
    make, rng = WordMaker(sorted(words_of(bases))), random.Random("invented verbs")
    made = [make(rng).rstrip("e") for _ in range(_INVENTED_VERBS)]
    return [(word, f"{word}ing", f"{word}ed") for word in made]


_PLAIN_WORD = re.compile(r"[\w'’-]+")


def _mistyped(sentence: TaggedSentence, rng: random.Random) -> TaggedSentence:
    """Put a typing error into one or two words of a sentence."""
    words = list(sentence.words)
    long = [place for place, word in enumerate(words) if can_be_mistyped(word)]
    for place in rng.sample(long, min(len(long), rng.choice((1, 1, 2)))):
        words[place] = mistype(words[place], rng)
    return replace(sentence, text=" ".join(words), words=tuple(words))


def _kept_words(templates: Sequence[Template], words: EditWords) -> set[str]:
    """Collect the words that are never hidden: frequent ones, verbs, words before an object."""
    counts: Counter[str] = Counter()
    for template in templates:
        counts.update({word.lower() for piece in template.pieces for word in split_words(piece)})
    kept = {word for word, count in counts.items() if count > _RARE}
    kept |= words_of([*words.same_sense, *words.alternatives, *words.determiners])
    kept |= {*words.describing, *words.polar, *words.scene}
    for template in templates:
        kept |= {found.lower() for found in _WORD_BEFORE_SLOT.findall(template.template)}
    return kept


def _seldom_objects(templates: Sequence[Template]) -> set[str]:
    context = words_of(piece for item in templates for piece in item.pieces)
    places = {place for item in templates for _, place in PLACE.findall(item.template)}
    return {word.lower() for word in context | places if word.isalpha()}


def _slots(text: str) -> int:
    return len(_SLOT_OR_TEXT.findall(text))


def _like(old: str, new: str) -> str:
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _join(first: str, second: str, rng: random.Random) -> str:
    joint = rng.choice(_JOINTS)
    if joint != ". ":
        second = second[0].lower() + second[1:]
    return first.rstrip(" .!?") + joint + second


def _resurface(text: str, rng: random.Random) -> str:
    """Change letter case, articles or final punctuation, as people do when they type."""
    kind = rng.random()
    if kind < 0.3:
        return text.lower()
    if kind < 0.35:  # capitals, but the slots must stay readable
        parts = _SLOT_OR_TEXT.split(text)
        return "".join(part.upper() if index % 2 == 0 else part for index, part in enumerate(parts))
    if kind < 0.75:
        return ARTICLES.sub("", text) or text
    return text.rstrip(" .!?") + rng.choice(("", "", "", ".", "!", "..."))
