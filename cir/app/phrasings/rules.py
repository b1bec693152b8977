"""The forms of clauses that are no sum of names, in the order in which they are tried."""

import re
from collections.abc import Callable

from cir.app.phrasings import clauses
from cir.app.phrasings.words import (
    ALL,
    AS_IT_IS,
    BUT,
    GONE,
    IN_IMAGE,
    INSTEAD_OF,
    LOOK,
    NAME,
    NAMED,
    NEW,
    POLITE,
    REMOVE,
    REMOVING,
    SIDE,
    SIZES,
    STAY,
    STOP,
    TOUCH,
    WHOLE,
)

Build = Callable[[re.Match, clauses.Before], clauses.Clause | None]

_NOT = r"(?:do not|don't|dont|never)"
_DO = rf"(?:{REMOVE}|{TOUCH})"
_MUST = r"(?:should|must|can|may|has to|have to|needs? to|ought to|is to|are to|will)(?: also)?"
_NO_VERB = rf"(?!(?:keep|leave|add|not|{_NOT})\b)"
_BE = r"(?:be|become|turn|look)"
_PAINT = r"(?:make|turn|paint|repaint|(?:re)?colou?r|dye|tint|spray|render|set|change|have)"
_CHANGE = r"(?:change|set|switch|alter|turn|make|(?:re)?paint|(?:re)?colou?r)"
_FROM = rf"(?:from (?P<old>{LOOK}) )?"
_WISH = r"(?:i (?:want|need|prefer|(?:'d|would) (?:like|prefer))|i'd (?:like|prefer))"
_SHIFT = (
    r"(?:move|shift|slide|rotate|flip|mirror|tilt|relocate|reposition|spin|align|cent(?:er|re)|blur|"
    r"unblur|sharpen|crop|resize|scale|enlarge|shrink|brighten|darken|lighten|straighten|"
    r"increase|decrease|reduce|boost|adjust|saturate|stretch)"
)
_DEFINITE = r"(?:the|my|his|her|its|our|your|their|this|that|these|those|both)"
_POSE = (
    r"(?:smile|laugh|cry|frown|look|face|point|sit|stand|lie|run|walk|jump|sleep|fly|dance|wave|sing|"
    r"swim)"
)
_SOMEWHERE = rf"be (?:{SIZES}|(?:on|in) the {SIDE}|closer|further)"
_WORD = r"(?!(?:by|with|in|of|to|for|and|like|out)\b)[\w'-]+"
_SHORT = rf"(?P<name>{_DEFINITE}(?: {_WORD}){{1,3}})"
# How a whole image can be made.
_MOOD = (
    rf"(?:{SIZES}|{LOOK}|(?:in|at|into|to)? ?(?:an? )?(?:night|day|dusk|dawn|sunset|winter|summer|"
    r"autumn|spring|snowy|rainy|sunny|foggy|cloudy|stormy|misty|sepia|cartoon|sketch|painting|"
    r"blurr(?:y|ed)|calm|dramatic|moody))"
)
# What keeps does not lead elsewhere: "keep the cat out", "leave it unless", "if the cats remain".
_STRAIGHT = (
    r"(?!an? |only an? |if |any |us |me |unless |"
    r"[^.;:!?]*\b(?:out|off|away|unless|from \w+ing|at that|and an?)\b)"
)

_STAYING: list[tuple[str, Build]] = [
    (rf"(?:keep|leave|retain) {ALL}(?: else)?{BUT} {NAMED}{IN_IMAGE}", clauses.removed),
    (rf"{_DO} {ALL}(?: else)?{IN_IMAGE}{BUT} {NAMED}{IN_IMAGE}", clauses.kept_alone),
    (rf"{_DO} (?:all|every|both) {NAME}{BUT} {_NO_VERB}{NAMED}{IN_IMAGE}", clauses.kept_alone),
    (
        rf"(?:keep|leave|show|have|retain)(?: me)? (?:only|just|nothing but|nothing except) "
        rf"(?!an? ){NAMED}{AS_IT_IS}{IN_IMAGE}",
        clauses.kept_alone,
    ),
    (rf"(?:only|just) (?:keep|leave|show) {NAMED}{IN_IMAGE}", clauses.kept_alone),
    (rf"(?:only|just|nothing but) (?!an? ){NAMED} {_MUST} {STAY}{IN_IMAGE}", clauses.kept_alone),
    (rf"(?:only|just|nothing but) (?!an? ){NAMED},? (?:and )?nothing else", clauses.kept_alone),
    (rf"{_DO} {ALL}{IN_IMAGE}(?: (?:that|which|who) .*?)?", clauses.unread),
    (rf"{REMOVE} (?:one|two|three|half|some|most|a few) of .*?", clauses.unread),
    (rf"{_NOT} {_DO} {NAMED}(?: (?:out|away|off))?{IN_IMAGE}", clauses.kept),
    (rf"do nothing to {NAMED}", clauses.kept),
    (
        rf"(?:without|instead of|rather than|not|no) {REMOVING} {NAMED}{IN_IMAGE}",
        clauses.kept,
    ),
    (rf"{_NOT} (?:add|put|insert|place|introduce|draw) {NAMED}", clauses.unread),
    (
        rf"(?:i )?{_NOT} (?:want|need|like|show|include|have)(?: to (?:see|have))? "
        rf"{NAMED}(?: (?:again|any ?more))?{IN_IMAGE}",
        clauses.removed,
    ),
    (
        rf"(?:keep|preserve|retain|spare|save|keeping|preserving|retaining) "
        rf"{_STRAIGHT}{NAMED}{AS_IT_IS}{IN_IMAGE}",
        clauses.kept,
    ),
    (
        rf"(?:leave|leaving) {_STRAIGHT}{NAMED}{AS_IT_IS}{IN_IMAGE}",
        clauses.kept,
    ),
    (rf"let {_STRAIGHT}{NAMED} {STAY}{IN_IMAGE}", clauses.kept),
    (rf"{_STRAIGHT}{NAMED} {_MUST} {STAY}{IN_IMAGE}", clauses.kept),
    (
        rf"{_STRAIGHT}{NAMED} (?:stays?|remains?|(?:is|are) kept|(?:is not|are not|isn't) {GONE}|"
        rf"(?:mustn't|shouldn't|cannot|can't) be {GONE}){AS_IT_IS}{IN_IMAGE}",
        clauses.kept,
    ),
    (rf"not {NAMED}", clauses.kept_beside_a_removal),
]
_LOOKS: list[tuple[str, Build]] = [
    (rf"{_CHANGE} (?:the )?colou?rs? of {NAMED} {_FROM}(?:in)?to {NEW}", clauses.recoloured),
    (
        rf"{_CHANGE} {NAMED}(?:'s?)?(?: colou?r)? from (?P<old>{LOOK}) (?:in)?to {NEW}",
        clauses.recoloured,
    ),
    (rf"{_CHANGE} {NAMED}'s? colou?r (?:(?:in)?to )?{NEW}", clauses.recoloured),
    (
        rf"{_PAINT} {NAMED}(?: (?:look|be|become|painted|dyed))?(?: (?:in|as|with|to|into))? "
        rf"(?:(?:a|the colou?r) )?{NEW}(?: (?:one|ones|paint))?{INSTEAD_OF}{IN_IMAGE}",
        clauses.recoloured,
    ),
    (
        rf"give {NAMED} (?:a|an)(?: new)?(?: coat of)? {NEW} "
        r"(?:colou?r|paint|coat|finish|paint job|look|tint)",
        clauses.recoloured,
    ),
    (rf"(?:let|have|can|could|may) {NAMED} {_BE} {NEW}{INSTEAD_OF}", clauses.recoloured),
    (
        rf"{_WISH} {NAMED}(?: (?:to be|to become|to look|in|as))? {NEW}(?: ones?)?{INSTEAD_OF}",
        clauses.recoloured,
    ),
    (
        rf"(?:(?:the )?same|this|that) {NAMED},?(?: (?:but|only|just))(?: in)? {NEW}",
        clauses.recoloured,
    ),
    (rf"(?:the )?same {NAMED} in {NEW}", clauses.recoloured),
    (
        rf"(?:the )?colou?r of {NAMED} {_MUST} (?:be|become|change to) {NEW}{INSTEAD_OF}",
        clauses.recoloured,
    ),
    (
        rf"(?:what if |how about |if )?{NAMED}(?:'s colou?r)? "
        rf"(?:(?:{_MUST}|shall|could|would) {_BE}|(?:is|are|was|were)(?: now)?) (?:in )?"
        rf"{NEW}{INSTEAD_OF}(?!,? (?:and |but |so )?{_PAINT} it\b)",
        clauses.recoloured,
    ),
]
_UNREAD: list[tuple[str, Build]] = [
    (rf"(?:make|turn|render) {_DEFINITE} {NAME} (?:{SIZES})(?: \w+){{0,3}}?", clauses.unread),
    (rf"(?:make|turn|render) {WHOLE}\b (?:look )?{_MOOD}(?: \w+){{0,2}}?", clauses.unread),
    (rf"make {_SHORT} (?:into )?(?P<thing>an? {NAME})", clauses.replaced),
    (rf"make (?:{_DEFINITE} {NAME}|him|her|it|them) {_POSE}\b(?: \w+){{0,3}}?", clauses.unread),
    (
        rf"{_SHIFT} (?!(?:this|that|these|those)\b)(?:{_DEFINITE}|it|him|them)\b"
        r"(?: (?!(?:with|for|into|out|over)\b)\S+?)*?",
        clauses.unread,
    ),
    (r"zoom (?:in|out)\b.*?", clauses.unread),
    (rf"(?:open|close) {_DEFINITE} [\w-]+", clauses.unread),
    (
        r"(?:swap|switch|exchange|change) (?:the )?(?:places?|positions?|colou?rs?|order)\b.*?",
        clauses.unread,
    ),
    (
        rf"(?:bring|push|pull|put|place|set|turn) (?:{_DEFINITE}|it|him|them)\b(?:{NAME})?"
        rf" (?:closer|forwards?|further|around|upside|(?:to|on|in|at) the {SIDE})\b.*?",
        clauses.unread,
    ),
    (rf"{_DEFINITE} {NAME} {_MUST} (?:{_POSE}|{_SOMEWHERE})\b.*?", clauses.unread),
    (rf"(?:(?:{_WISH}|show|with|have) )?fewer {NAME}", clauses.unread),
    (r"(?:in )?(?:black and white|sepia|monochrome|gr[ae]yscale)", clauses.unread),
    (rf"give {_SHORT} (?P<thing>(?:an?|some|two|three) {NAME})", clauses.added),
]


def _compiled(form: str) -> re.Pattern:
    return re.compile(rf"{POLITE}(?P<all>{form})(?={STOP})", re.IGNORECASE)


RULES = [(_compiled(form), build) for form, build in (*_STAYING, *_LOOKS, *_UNREAD)]
