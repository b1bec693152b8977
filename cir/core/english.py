"""English for generated sentences: "a" or "an", plurals, and lists of items."""

import re
from collections.abc import Sequence

# The sound, not the spelling, decides between "a" and "an".
_SILENT_H = ("heir", "honest", "honor", "honour", "hour")
_SAID_WITH_Y_OR_W = re.compile(
    r"eu|ewe|once\b|ones?\b|oneself|onesie|u[bft]i|ufo|ukr|uku|uni(?!n|m)|ur[aio]|us[aeiu]|uten|uto"
)
_VOWEL_LETTER_NAME = re.compile(r"[FHLMNRSX](?:\b|[A-Z\d])")  # "an SUV", "an X-ray"
_VOWEL_NUMBER = re.compile(r"8|1[18](?!\d)|x-")  # "an 8-ball", "an x-ray"

_IRREGULAR = {
    "calf": "calves",
    "child": "children",
    "elf": "elves",
    "foot": "feet",
    "goose": "geese",
    "half": "halves",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "quiz": "quizzes",
    "scarf": "scarves",
    "shelf": "shelves",
    "thief": "thieves",
    "tooth": "teeth",
    "wharf": "wharves",
    "wife": "wives",
    "wolf": "wolves",
}
_SAME = {
    *("aircraft", "bison", "clothes", "cod", "cutlery", "deer", "fish", "furniture", "glasses"),
    *("jeans", "moose", "salmon", "scissors", "sheep", "shorts", "shrimp", "spacecraft", "squid"),
    *("trousers", "trout"),
}
_ONLY_ALONE = {"elf", "goose", "ox"}  # not in "bookshelf", "mongoose", "box"
_REGULAR = {"caiman", "german", "human", "ottoman", "roman", "talisman"}
_ADDS_ES_AFTER_O = {"buffalo", "echo", "hero", "mango", "mosquito", "potato", "tomato", "volcano"}
_SINGULAR_IN_S = ("ss", "us", "is", "as", "lens")


FUNCTION_WORDS = frozenset(
    """
    a an the this that these those which who whose and or nor but so not no all any some each both
    of in on at to from with without for by into onto over under between behind beside near up down
    out off is are it its your my his her our their
    """.split()
)


def article(name: str) -> str:
    """Return "a" or "an", whichever English puts before `name`."""
    if _VOWEL_LETTER_NAME.match(name) or _VOWEL_NUMBER.match(name):
        return "an"
    if re.match(r"U(?:\b|[A-Z\d])", name):  # "a U-bolt", "a USB stick"
        return "a"
    lowered = name.lower()
    if _SAID_WITH_Y_OR_W.match(lowered):
        return "a"
    return "an" if lowered.startswith(("a", "e", "i", "o", "u", *_SILENT_H)) else "a"


def plural(name: str) -> str:
    """Return the plural of a name, by its last word or the word before "of", "with" and the like.

    A name that already looks plural ("scissors", "binoculars") is returned unchanged, and so is one
    with a verb ("robot that folds towels").
    """
    if " that " in name:
        return name
    head, *rest = re.split(r"(?=\s(?:of|with|on|in|for|from|at)\s)", name, maxsplit=1)
    last = re.split(r"[\s\-]", head)[-1]
    return head[: len(head) - len(last)] + _plural_word(last) + "".join(rest)


def _plural_word(word: str) -> str:
    lowered = word.lower()
    if lowered in _SAME or (lowered.endswith("s") and not lowered.endswith(_SINGULAR_IN_S)):
        return word
    for singular, irregular in _IRREGULAR.items():
        ends_so = lowered.endswith(singular) and singular not in _ONLY_ALONE
        if (ends_so and lowered not in _REGULAR) or lowered == singular:
            return word[: len(word) - len(singular)] + irregular
    if lowered.endswith(("s", "x", "z", "ch", "sh")) or lowered in _ADDS_ES_AFTER_O:
        return word + "es"
    if lowered.endswith("y") and not lowered.endswith(("ay", "ey", "iy", "oy", "uy")):
        return word[:-1] + "ies"
    return word + "s"


def listed(items: Sequence[object], between: str = ", ", most: int = 3) -> str:
    """List the first items as a sentence does: "a, b, c and 7 more"."""
    text = between.join(str(item) for item in items[:most])
    return text if len(items) <= most else f"{text} and {len(items) - most} more"
