"""The shipped templates and object names: counts, coverage of the ways of asking, uniqueness."""

import json
import re
from collections import Counter
from itertools import product

import pytest

from cir.core.english import plural
from cir.edits.reading.templates import fill, load_templates
from cir.edits.reading.word_splitter import LABELS, spans_of
from cir.edits.words import words_of
from tests.helpers import ROOT

ENTRIES = json.loads((ROOT / "prompt_templates.json").read_text(encoding="utf-8"))
TEXTS = [entry["template"] for entry in ENTRIES]
NAMES = (ROOT / "data" / "object_names.txt").read_text(encoding="utf-8").splitlines()
FAMILIES = json.loads((ROOT / "data" / "held_out_families.json").read_text(encoding="utf-8"))

# Short stand-ins for the slots keep the patterns below readable: @ is added, # is removed.
SHORT = [
    text.replace("<positive_object>", "@").replace("<negative_object>", "#").lower()
    for text in TEXTS
]
STYLES = """
    imperative question wish passive instead_of swap removed_first added_first distant
    list_commas list_and terse polite_rambling context determiner adjective declarative
    comparative gerund sequence bare counting condition picture
"""
COMMON_COUNTS = [(1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2)]
ALL_COUNTS = [pair for pair in product(range(4), repeat=2) if pair != (0, 0)]

ADDING = """
    add insert include introduce place feature paint draw sketch hang invite welcome enrich
    populate want need like love put_in bring_in work_in throw_in slip_in stick_in tuck swap_in
    give_me set with
"""
REMOVING = """
    remove delete erase eliminate drop lose scrap ditch expunge eradicate banish discard purge
    subtract exclude omit hide gone vanish disappear absent minus without no take_out take_away
    get_rid_of do_away_with dispense_with crop_out leave_out cut clear wipe strip free_of no_more
    don't_want don't_need
"""
DESCRIBING = """
    majestic playful ugly big shiny refreshing cosy sweet little beautiful cute fluffy tall
    elegant colourful huge modern tasty old rusty broken boring dusty worn unsightly noisy dirty
    stylish delicious stale small gigantic graceful clumsy cozy cold luxurious cheap faded
    vibrant scary friendly plain ornate weird charming juicy mysterious glowing dull shabby
    sleek distracting lively curious unwanted soft comfortable messy crumpled gorgeous adorable
    clunky bulky delicate annoying creepy happy rustic cracked tattered quaint tiny massive
    serene gentle hideous crisp creamy wobbly cheerful lovely nice large fresh silly strange
    lazy heavy sleepy sad useless gloomy lonely steaming chilled smooth rough fuzzy fierce proud
    shy wet dry clean sturdy crooked stunning towering impressive ordinary squeaky empty full
    hard festive quiet exotic fancy funny miniature delightful precious splendid brilliant
    pretty merry grumpy pristine lavish dazzling outdated
"""


def phrases(listing: str) -> list[str]:
    return [phrase.replace("_", " ") for phrase in listing.split()]


def matching(pattern: str) -> list[str]:
    return [text for text in SHORT if re.search(pattern, text)]


def slot_counts(text: str) -> tuple[int, int]:
    return text.count("<positive_object>"), text.count("<negative_object>")


def test_635_templates_each_with_text_and_style():
    assert len(ENTRIES) == 635
    assert all(set(entry) == {"template", "style"} for entry in ENTRIES)
    assert all(text == " ".join(text.split()) for text in TEXTS)


def test_only_the_two_slots_and_never_none():
    for text in TEXTS:
        slots = re.findall(r"<[^<>]*>", text)
        assert slots, text
        assert set(slots) <= {"<positive_object>", "<negative_object>"}, text
        assert "<" not in re.sub(r"<[^<>]*>", "", text), text


def test_unique_after_normalising():
    forms = Counter(re.sub(r"[^a-z0-9@#]", "", text) for text in SHORT)
    assert [form for form, count in forms.items() if count > 1] == []


def test_the_library_reads_them_and_finds_every_slot_again():
    templates = load_templates(ROOT / "prompt_templates.json")
    assert len(templates) == len(ENTRIES)
    for template in templates:
        add = ["traffic light"] * template.additions
        remove = ["hat"] * template.removals
        filled = fill(template, add, remove)
        assert set(filled.labels) <= set(LABELS)
        labels = Counter(label for label, _, _ in spans_of(filled.labels))
        assert (labels["pos"], labels["neg"]) == (template.additions, template.removals), template


@pytest.mark.parametrize("counts", ALL_COUNTS)
def test_every_number_of_additions_and_removals(counts):
    found = sum(slot_counts(text) == counts for text in TEXTS)
    assert found >= (50 if counts in COMMON_COUNTS else 15)


def test_no_more_than_three_of_a_kind():
    assert {slot_counts(text) for text in TEXTS} == set(ALL_COUNTS)


def test_every_style_has_enough_templates():
    counts = Counter(entry["style"] for entry in ENTRIES)
    assert set(counts) == set(STYLES.split())
    assert min(counts.values()) >= 20, counts


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        (r"swap (out )?(the )?(\w+ )?# (and the # )?for", 3),
        (r"swap in (an? |the )?(\w+ )?@ (and an? (\w+ )?@ )?for", 3),
        (r"trade .*# for", 3),
        (r"exchange .*# for", 2),
        (r"exchange .*# with", 1),
        (r"substitute .*@ for", 3),
        (r"substitute .*# with", 2),
        (r"replace .*# with", 5),
        (r"replaced? (the )?(# )?.*by an? .*@", 3),
        (r"instead of .*#", 15),
        (r"in place of .*#", 5),
        (r"rather than .*#|@ than .*#", 5),
    ],
)
def test_exchanges_run_in_both_directions(pattern, least):
    assert len(matching(pattern)) >= least


# "after removing the #": up to four words stand between the verb and the slot.
_GERUND = r"\b(?!something|anything|everything|following|according)[a-z]+ing ([a-z']+ ){0,4}[@#]"
_SEQUENCE = r"\b(first|then|next|once|before|after|afterwards|finally|as soon as|followed by"
_SEQUENCE += r"|step one|now that|having)\b|1\. "
_DETERMINED = r"\b(an?|the|this|that|these|those|my|your|his|any|every|each|some|another|both|one"
_DETERMINED += r"|two|three|several|few|of|more|no) (\w+ ){0,2}[@#]"


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        (_GERUND, 140),
        (_SEQUENCE, 70),
        (r"\b(pair|trio|quartet|dozen|handful|couple|bunch|group) (of )?(\w+ )?[@#]", 40),
        (r"\b(if|unless|should you|provided|as long as|in case|whenever|were the)\b", 35),
        (r"\bby an? (\w+ )?@|(ed|en) by\b", 25),
    ],
)
def test_ways_of_asking(pattern, least):
    assert len(matching(pattern)) >= least


def test_slots_without_articles():
    assert sum(not re.search(_DETERMINED, text) for text in SHORT) >= 70


def test_pictures():
    assert sum(entry["style"] == "picture" for entry in ENTRIES) >= 35


def test_bare_requests_without_articles_or_marks():
    assert {"replace # with @", "swap # for @", "add @", "remove #", "no #, yes @"} <= set(SHORT)


@pytest.mark.parametrize("cue", phrases(ADDING))
def test_cues_of_adding_come_in_several_sentences(cue):
    assert sum("@" in text for text in matching(rf"\b{cue}\b")) >= 2


@pytest.mark.parametrize("cue", phrases(REMOVING))
def test_cues_of_removing_come_in_several_sentences(cue):
    assert sum("#" in text for text in matching(rf"\b{cue}\b")) >= 2


@pytest.mark.parametrize(("style", "first"), [("removed_first", "#"), ("added_first", "@")])
def test_order_styles_keep_their_order(style, first):
    texts = [text for text, entry in zip(SHORT, ENTRIES, strict=True) if entry["style"] == style]
    for text in texts:
        assert re.search("[@#]", text)[0] == first, text
        assert {"@", "#"} <= set(text), text


def test_nouns_that_are_no_objects():
    places = "table corner background foreground window grass floor wall shelf bench sky water room"
    for place in places.split():
        assert len(matching(rf"\b{place}\b")) >= 2, place


def test_describing_words_come_directly_before_slots():
    before = Counter(
        word for text in SHORT for word in re.findall(r"(\w+)(?= [@#]| \w+ [@#])", text)
    )
    words = DESCRIBING.split()
    assert len(set(words)) == len(words) >= 100
    assert [word for word in words if not before[word]] == []


def test_determiners():
    for word in ["any", "every", "some", "another", "two", "three", "all the", "those", "both"]:
        assert len(matching(rf"\b{word} [@#]")) >= 1, word
    for phrase in ["a pair of", "a bunch of", "every instance of", "any trace of", "all of the"]:
        assert len(matching(rf"\b{phrase} ")) >= 1, phrase


def test_both_articles_stand_before_both_slots():
    for before in [r"\ban? @", r"\bthe @", r"\ban? #", r"\bthe #"]:
        assert len(matching(before)) >= 10, before


def test_case_and_final_marks_vary():
    lower = sum(text[0].islower() for text in TEXTS)
    bare = sum(text[-1] not in ".?!" for text in TEXTS)
    assert lower >= 60
    assert bare >= 60


def test_the_indefinite_article_before_a_slot_is_written_a():
    assert matching(r"\ban [@#]") == []


def test_held_out_families_are_not_used_elsewhere():
    """The verbs and phrases of a family are in its templates alone: at least 70 in all, 4 each."""
    others = [ROOT / "data" / name for name in ("edit_words.json", "edit_clauses.json")]
    elsewhere = "\n".join([*(path.read_text(encoding="utf-8") for path in others), *NAMES]).lower()
    assert len(FAMILIES) >= 8
    held_out: Counter[str] = Counter()
    for family in FAMILIES:
        assert set(family) == {"family", "verbs", "phrases", "names"}
        forms = [form for verb in family["verbs"] for form in verb] + family["phrases"]
        assert all(len(verb) == 3 for verb in family["verbs"])
        of_family = rf"\b({'|'.join(map(re.escape, forms))})\b"
        assert not re.search(of_family, elsewhere), family["family"]
        found = matching(of_family)
        assert len(found) >= 4, family["family"]
        held_out.update(found)
    assert len(held_out) >= 70
    assert set(held_out.values()) == {1}  # no template belongs to two families


def test_names_of_held_out_families_share_no_word_with_other_names():
    joints = words_of(phrase for family in FAMILIES for phrase in family["phrases"])
    names = [name for family in FAMILIES for name in family["names"]]
    words = Counter(word for name in names for word in set(name.split()) - joints)
    assert len(names) >= 80
    assert max(words.values()) == 1
    others = {word for name in NAMES for word in re.split(r"[ -]", name)}
    assert not words.keys() & (others | {plural(word) for word in others})
    for family in FAMILIES:
        for name in family["names"]:
            assert any(phrase in name for phrase in family["phrases"]), name


def test_object_names_are_many_and_long():
    assert len(NAMES) >= 2050
    assert sum(" " in name for name in NAMES) >= len(NAMES) / 2
    assert sum(3 <= len(name.split()) <= 6 for name in NAMES) >= 450


def test_parts_of_names():
    """Names have parts after "of" and "with", and describing words that belong to them."""
    for joint, least in [("of", 60), ("with", 100), ("that", 15), ("for", 20), ("in", 10)]:
        assert sum(f" {joint} " in name for name in NAMES) >= least, joint
    belonging = (
        r"(\w+-)+\w+ed|smart|portable|antique|vintage|solar|wireless|electric|digital|folding"
    )
    assert sum(bool(re.match(rf"({belonging}) ", name)) for name in NAMES) >= 60


def test_many_long_names_share_no_word_with_another_name():
    joints = set("of with that for in on from and by across beside".split())
    words = {name: set(re.split("[ -]", name)) - joints for name in NAMES}
    counts = Counter(word for name in NAMES for word in words[name])
    alone = [name for name in NAMES if all(counts[word] == 1 for word in words[name])]
    assert sum(len(name.split()) >= 3 for name in alone) >= 110


def test_object_names_are_sorted_unique_and_normalised():
    assert sorted(set(NAMES)) == NAMES
    for name in NAMES:
        assert re.fullmatch(r"[a-z]+(['-]+[a-z]+)*( [a-z]+(['-]+[a-z]+)*)*", name), name
        assert name.split()[0] not in {"a", "an", "the", "some"}, name


def test_object_names_do_not_begin_with_a_describing_word():
    words = set(DESCRIBING.split())
    assert [name for name in NAMES if name.split()[0] in words] == []


def test_no_object_name_is_spelt_in_two_ways():
    forms = Counter(re.sub("[^a-z]", "", name) for name in NAMES)
    assert [form for form, count in forms.items() if count > 1] == []
