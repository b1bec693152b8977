"""What is asked of scenes and how captions tell them: facts by hand, captions read back."""

import re
from collections import Counter

import numpy as np
import pytest

from cir.core.english import plural
from cir.datasets.scenes import COLOURS, OBJECTS, all_names, colour_of, kind_of
from cir.text_search.data.drawn import Sampler
from cir.text_search.data.graded_requests import (
    FULL,
    Count,
    OneObject,
    Pair,
    PairOfKinds,
    Place,
    shown,
)
from cir.text_search.data.wording import (
    RELATIONS,
    caption,
    counted,
    listed_in_words,
    related,
    with_article,
)

#        top left    top right   bottom left bottom right
MIXED = ("red mug", "blue car", "", "blue mug")
TWINS = ("red mug", "red mug", "blue car", "")
ABOVE = ("red mug", "", "", "blue car")
ALONE = ("", "", "green fish", "")

NUMBERS = {"two": 2, "three": 3, "four": 4}
LEFT, TOP = {0, 2}, {0, 1}
OPENINGS = ("a picture of ", "a scene with ", "you can see ")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("request_", "cells", "facts", "grade"),
    [
        (OneObject("red mug"), MIXED, [True, True], 4),
        (OneObject("green mug"), MIXED, [True, False], 2),
        (OneObject("red car"), MIXED, [True, False], 2),
        (OneObject("red fish"), MIXED, [False, False], 0),
        (OneObject("green fish"), ALONE, [True, True], 4),
        (Pair("red mug", "blue car"), MIXED, [True] * 4, 4),
        (Pair("blue mug", "red car"), ABOVE, [True, False, True, False], 2),
        (Pair("red mug", "blue hat"), ABOVE, [True, True, False, False], 2),
        (Pair("red mug", "red car"), ABOVE, [True, True, True, False], 3),
        (Pair("pink mug", "pink hat"), ABOVE, [True, False, False, False], 1),
        (Pair("red mug", "blue car"), ALONE, [False] * 4, 0),
        (PairOfKinds("mug", "car"), MIXED, [True, True], 4),
        (PairOfKinds("fish", "car"), MIXED, [False, True], 2),
        (PairOfKinds("fish", "hat"), MIXED, [False, False], 0),
        (Count("red mug", 2), TWINS, [True, True, True], 4),
        (Count("red mug", 3), TWINS, [True, True, False], 3),
        (Count("red mug", 2), MIXED, [True, True, False], 3),
        (Count("red mug", 2), ("red mug",) * 3 + ("",), [True, True, False], 3),
        (Count("green mug", 2), TWINS, [True, False, False], 1),
        (Count("green fish", 2), TWINS, [False, False, False], 0),
        (Place("red mug", "to the left of", "blue car"), ABOVE, [True] * 5, 4),
        (Place("red mug", "above", "blue car"), ABOVE, [True] * 5, 4),
        (Place("red mug", "below", "blue car"), ABOVE, [True] * 4 + [False], 3),
        (Place("blue car", "to the left of", "red mug"), ABOVE, [True] * 4 + [False], 3),
        (Place("red mug", "above", "blue car"), MIXED, [True] * 4 + [False], 3),  # side by side
        (Place("red mug", "to the left of", "blue hat"), ABOVE, [True] * 2 + [False] * 3, 2),
        (Place("pink mug", "above", "blue hat"), ABOVE, [True] + [False] * 4, 1),
        (Place("red mug", "to the right of", "blue car"), TWINS, [True] * 5, 4),  # one of the two
        (Place("red mug", "above", "blue car"), ALONE, [False] * 5, 0),
    ],
)
def test_facts_and_grades_by_hand(request_, cells, facts, grade):
    assert request_.facts(cells) == facts
    assert request_.grade(cells) == grade


def test_an_empty_cell_is_no_object():
    assert shown(MIXED) == ["red mug", "blue car", "blue mug"]
    assert shown(("", "", "", "")) == []


def test_what_a_request_says_and_brings_together():
    texts = {OneObject("orange hat").text(rng(seed)) for seed in range(20)}
    assert texts == {"orange hat", "an orange hat"}
    assert Pair("red mug", "blue car").text(rng()) == "a red mug and a blue car"
    assert PairOfKinds("umbrella", "trousers").text(rng()) == "an umbrella and trousers"
    assert Count("red knife", 3).text(rng()) == "three red knives"
    assert Place("red mug", "below", "blue car").text(rng()) == "a red mug below a blue car"
    both = {frozenset(("red mug", "blue car"))}
    assert Pair("red mug", "blue car").pairs() == Place("blue car", "above", "red mug").pairs()
    assert Pair("red mug", "blue car").pairs() == both
    for other in (OneObject("red mug"), PairOfKinds("mug", "car"), Count("red mug", 2)):
        assert not other.pairs()


def test_grades_rise_with_the_facts_and_only_all_of_them_are_full():
    sampler = Sampler(all_names()[:30], rng(4))
    requests = [OneObject("red mug"), Place(*sampler.names[:1], "above", *sampler.names[11:12])]
    requests += [Pair(sampler.names[3], sampler.names[14]), Count(sampler.names[0], 2)]
    for _ in range(200):
        cells = sampler.any_scene()
        for request in requests:
            facts = request.facts(cells)
            grade = request.grade(cells)
            assert (grade == FULL) == all(facts)
            assert (grade == 0) == (not any(facts))
            assert abs(grade - FULL * sum(facts) / len(facts)) <= 0.8


def test_where_cells_lie():
    """0 1 over 2 3."""
    true = {
        "to the left of": {(0, 1), (0, 3), (2, 1), (2, 3)},
        "to the right of": {(1, 0), (3, 0), (1, 2), (3, 2)},
        "above": {(0, 2), (0, 3), (1, 2), (1, 3)},
        "below": {(2, 0), (3, 0), (2, 1), (3, 1)},
    }
    assert set(RELATIONS) == set(true)
    for relation, expected in true.items():
        found = {(a, b) for a in range(4) for b in range(4) if related(relation, a, b)}
        assert found == expected


def test_words_by_hand():
    assert with_article("red mug") == "a red mug"
    assert with_article("orange hat") == "an orange hat"
    assert with_article("umbrella") == "an umbrella"
    assert with_article("blue trousers") == "blue trousers"
    assert with_article("green scissors") == "green scissors"
    assert counted("red mug", 1) == "a red mug"
    assert counted("red mug", 2) == "two red mugs"
    assert counted("red bus", 3) == "three red buses"
    assert counted("blue trousers", 2) == "two blue trousers"
    assert counted("fish", 4) == "four fish"
    assert listed_in_words(["a"]) == "a"
    assert listed_in_words(["a", "b"]) == "a and b"
    assert listed_in_words(["a", "b", "c"]) == "a, b and c"
    assert listed_in_words(["a", "b", "c", "d"]) == "a, b, c and d"


def number_and_form(part):
    """ "two red mugs" → (2, "red mugs"); what has no number is one."""
    first, _, rest = part.partition(" ")
    if first in NUMBERS:
        return NUMBERS[first], rest
    if first in ("a", "an"):
        assert first == ("an" if rest[0] in "aeiou" else "a"), part
        return 1, rest
    return 1, part


def is_there(part, cells):
    """Whether a part of a caption, such as "two mugs", is exactly what the scene shows."""
    number, form = number_and_form(part)
    known = [*all_names(), *OBJECTS]
    meant = [name for name in known if form == (name if number == 1 else plural(name))]
    assert len(meant) == 1, part
    (name,) = meant
    of_scene = [own if colour_of(name) in COLOURS else kind_of(own) for own in cells if own]
    return of_scene.count(name) == number


def read(text, cells):
    """(manner, whether it is true, how many things it tells of): by splitting, not by wording."""
    opening = next((one for one in OPENINGS if text.startswith(one)), "")
    bare = text[len(opening) :]
    for relation in RELATIONS:
        one, found, other = bare.partition(f" {relation} ")
        if found:
            here, there = (cells.index(number_and_form(part)[1]) for part in (one, other))
            true = {
                "to the left of": here in LEFT and there not in LEFT,
                "to the right of": here not in LEFT and there in LEFT,
                "above": here in TOP and there not in TOP,
                "below": here not in TOP and there in TOP,
            }[relation]
            alone = all(is_there(part, cells) for part in (one, other))
            return relation, true and alone and not opening, 2
    parts = re.split(r", | and ", bare)
    colours = [set(part.split()) & set(COLOURS) for part in parts]
    assert all(colours) or not any(colours), text
    bare_name = len(parts) == 1 and not opening and number_and_form(bare)[1] == bare
    manner = (opening or "bare" if not bare_name else "no article", bool(colours[0]))
    return manner, all(is_there(part, cells) for part in parts), len(parts)


def test_every_caption_of_a_scene_is_true_and_all_manners_occur():
    sampler, words = Sampler(all_names(), rng(1)), rng(2)
    manners, told = Counter(), Counter()
    described = with_two = 0
    for _ in range(500):
        cells = sampler.any_scene()
        single = [name for name, times in Counter(shown(cells)).items() if times == 1]
        for _ in range(3):
            text = caption(cells, words)
            manner, true, parts = read(text, cells)
            assert true, (text, cells)
            manners[manner] += 1
            described += 1
            with_two += len(single) > 1
            if manner not in RELATIONS and manner[1] and len(set(shown(cells))) == 4:
                told[parts] += 1
    placed = sum(manners[relation] for relation in RELATIONS)
    assert placed / with_two == pytest.approx(0.25, abs=0.04)
    assert min(manners[relation] for relation in RELATIONS) > placed / 6
    vague = sum(times for manner, times in manners.items() if manner[1] is False)
    assert vague / (described - placed) == pytest.approx(1 / 6, abs=0.04)
    for opening in ("bare", "no article", *OPENINGS):
        for coloured in (True, False):
            assert manners[opening, coloured], (opening, coloured)
    assert set(told) == {1, 2, 3, 4}
    for number in told.values():
        assert number / told.total() == pytest.approx(1 / 4, abs=0.08)


def test_captions_name_the_objects_in_any_order():
    cells = ("red mug", "blue car", "green fish", "yellow hat")
    first = Counter()
    for seed in range(600):
        text = caption(cells, rng(seed))
        if all(name in text for name in cells):
            first[min(cells, key=text.index)] += 1
    assert set(first) == set(cells)
    assert min(first.values()) > first.total() / 8


def test_two_of_a_kind_in_two_colours_are_counted_together_without_colours():
    texts = {caption(("red mug", "blue mug", "", ""), rng(seed)) for seed in range(200)}
    assert {"two mugs", "red mug", "a red mug", "a blue mug and a red mug"} <= texts
    assert {text for text in texts if "two" in text and ("red" in text or "blue" in text)} == set()
    assert not {"a mug", "mug", "a mug and a mug"} & texts
    assert any(text.startswith("a red mug to the left of") for text in texts)
    assert not any("above" in text or "below" in text for text in texts)


def test_objects_that_come_twice_have_no_place():
    texts = {caption(("red mug", "red mug", "blue car", ""), rng(seed)) for seed in range(100)}
    assert not [text for text in texts for relation in RELATIONS if relation in text]
    assert "two red mugs" in texts
    assert {caption(ALONE, rng(seed)) for seed in range(100)} <= {
        opening + words
        for opening in ("", *OPENINGS)
        for words in ("a green fish", "green fish", "a fish", "fish")
    }
