"""Words and pieces of regular expressions that the forms of clauses are made of."""

import re


def any_of(words: str) -> str:
    """Return an expression for one of the words, which spaces or lines part; "_" is a space."""
    return f"(?:{'|'.join(word.replace('_', ' ') for word in words.split())})"


ARTICLE = any_of("the a an this that these those my his her its our your their both all some every")
_COLOUR = any_of(
    """
    red green blue yellow orange purple pink brown black white gr[ae]y golden gold silver beige
    turquoise teal cyan magenta violet maroon navy crimson scarlet lilac cream ivory olive khaki
    bronze copper indigo lavender salmon mint peach tan rainbow-colou?red colou?rful
    multi-?colou?red bluish reddish greenish yellowish blonde? ginger
    """
)
_SHADE = any_of("light dark bright pale deep pastel neon sky lime hot navy royal baby off")
_ANY_COLOUR = rf"(?:{_SHADE}[ -])?{_COLOUR}"
_KINDS = any_of(
    """
    wooden metal metallic glass plastic leather stone marble brick concrete steel iron rusty
    wooll?en cotton silk velvet denim paper cardboard ceramic porcelain wicker rubber fluffy furry
    striped spotted dotted checked check?ered chequered plaid tartan floral patterned plain shiny
    matte glossy round square rectangular oval triangular empty broken wet dirty old modern antique
    vintage transparent see-through ripe peeled
    """
)
# What a thing can be made without becoming another thing: its colour, material, pattern or form.
LOOK = rf"(?:{_ANY_COLOUR}(?:[ -](?:and|&)[ -]{_ANY_COLOUR})?|{_KINDS})"

REMOVE = any_of(
    """
    remove delete erase eliminate take_(?:out|away) take get_rid_of clear wipe_out wipe drop lose
    ditch discard cut_out cut edit_out strip scrap
    """
)
TOUCH = any_of("touch change alter modify replace move hide cover edit affect crop_out swap")
REMOVING = any_of(
    """
    removing deleting erasing taking_(?:out|away) taking getting_rid_of dropping losing cutting
    touching changing replacing altering hiding moving
    """
)
GONE = any_of(
    """
    removed deleted erased touched changed replaced altered moved lost taken_(?:out|away)
    """
)
STAY = rf"(?:stay|remain|be (?:kept|left|there)|not be {GONE}|survive)"
_VERB = any_of(
    """
    add put place insert include make turn paint repaint (?:re)?colou?r dye tint spray keep leave
    retain preserve spare do don't dont never exchange give let have show draw bring shift slide
    rotate flip mirror blur sharpen resize zoom brighten darken lighten shrink enlarge i we it there
    no only just set throw introduce switch trade substitute ensure also please
    """
)
_MODAL = any_of("should must can could may has have needs? is are goes stays? remains? ought will")
# Expressions look only so far ahead, because a long text would take them minutes otherwise.
_NEW_CLAUSE = rf"{ARTICLE}\s[^,.;:!?]{{0,40}}\b{_MODAL}\b"
# Where a name ends: at a mark, at a word that joins clauses, or where another clause begins.
STOP = "|".join(
    (
        r"\s*(?:[.;:!?]|$)",
        rf"\s*,(?!\s*(?:and\s+)?{ARTICLE}\s(?![^,.;:!?]{{0,40}}\b{_MODAL}\b))",
        r"\s+(?:but|then|yet|while|whilst)\b",
        r"\s+[-–—]\s",
        rf"\s*,?\s*\band\s+(?:then\s+)?(?:(?:{REMOVE}|{TOUCH}|{_VERB})\b|{_NEW_CLAUSE})",
        rf"\s+(?:without|instead of|rather than)\s+{REMOVING}\b",
        r"\s+(?:please|too|as well)\b",
    )
)
NAME = rf"(?:(?!{STOP}).){{1,60}}?"
NAMED = rf"(?P<name>{NAME})"
NEW = rf"(?P<look>{LOOK})(?:[ -]colou?red)?"

# What people say before they come to the matter.
_ASK = (
    r"please|and|but|also|then|just|so|now|maybe|first|finally|kindly|while|whilst|ok|let's|"
    r"(?:can|could|would|will) you|i(?:'d| would)? (?:want|like|love|prefer|need)(?: you)? to|"
    r"i want you to|make sure(?: that)?|ensure(?: that)?|try to|you (?:can|should|must)"
)
POLITE = rf"(?:(?:{_ASK}),?\s+)*"
_IMAGE = any_of("image picture photo photograph scene shot frame")
WHOLE = (
    rf"(?:it|(?:(?:the|this|that) )?(?:(?:whole|entire) )?(?:{_IMAGE}|background|everything|all|"
    r"lighting|light|contrast|brightness|style))"
)
IN_IMAGE = rf"(?:\s+(?:in|from|of) (?:(?:the|this) )?{_IMAGE})?"
INSTEAD_OF = rf"(?:,?\s+(?:instead of|rather than|not)\s+(?:being\s+)?(?P<old>{LOOK}))?"
AS_IT_IS = (
    r"(?: (?:alone|as (?:it|they|she|he) (?:is|are|was|were)|"
    r"(?:right )?where (?:it|they) (?:is|are)|in (?:place|there|here|it|peace)|there|untouched|"
    r"unchanged|intact|be|the same))?"
)
BUT = any_of(
    ",?_but ,?_except_for ,?_except ,?_other_than ,?_apart_from ,?_aside_from ,?_besides ,?_save"
)
ALL = (
    r"(?:everything|anything|everybody|everyone|every (?:other )?(?:thing|object)|"
    r"all (?:of )?(?:the )?(?:other )?(?:things|objects|items|else|rest)|all|"
    r"(?:all )?the (?:rest|others))"
)
SIZES = (
    r"(?:(?:much|a bit|a little|slightly|even|way) )?(?:big|bigg|larg|small|tall|short|long|wid|"
    r"narrow|thinn|thick|fatt|slimm|high|low|dark|bright|light|young|old|clos|near|fast|slow|"
    r"heavi|sharp|clear|warm|cold|soft|nic|pretti|happi|sadd|further|farth)(?:er|r)|"
    r"(?:more|less) \w+|(?:twice|half|double|three times|\d+%)(?: as| the)? \w+|big|huge|tiny|"
    r"small|large|tall|upside"
)
SIDE = any_of("left right top bottom middle cent(?:er|re) front back foreground background")

# What stands for no object of its own.
MATTERLESS = re.compile(
    r"(?:the )?(?:(?:everything|anything|all|it all)(?: else)?|rest(?: of .*)?|it|them|others?|"
    r"background|scene|image|picture|photo)(?: .*)?",
    re.IGNORECASE,
)
PRONOUNS = ("it", "them", "him", "her")
ONES = ("one", "ones")
