"""The params of the stages expand_templates and train_tagger."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core.params import Section, Share


class ExpandTemplates(Section):
    """How many sentences to make, and of what kind. Each template gives `fillings` sentences.

    Shares of the fillings of a training template go to the splits `seen` and `unseen_objects`, and
    the rest to `train`. A share of the fillings of a test template goes to `both_unseen`, and the
    rest to `unseen_templates`. Each share is rounded and gives at least one sentence.
    """

    fillings: PositiveInt
    seen: float = Field(gt=0, lt=1)
    unseen_objects: float = Field(gt=0, lt=1)
    both_unseen: float = Field(gt=0, lt=1)
    validation_templates: float = Field(gt=0, lt=0.5)
    test_templates: float = Field(gt=0, lt=0.5)
    test_names: float = Field(gt=0, lt=0.5)
    coloured: float = Field(ge=0, le=1)  # share of the names that get a colour in front


class FromScratch(Section):
    """The size of a DistilBERT that starts from random weights."""

    start: Literal["scratch"] = "scratch"
    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    hidden: PositiveInt
    dropout: Share
    longest: PositiveInt  # in words; the tagger reads longer texts in windows


class Pretrained(Section):
    """A pretrained encoder: its name on the Hugging Face hub, its folder, or that of a package."""

    start: Literal["pretrained"] = "pretrained"
    checkpoint: str
    layers: PositiveInt | None = None  # the first ones, which are kept; all without it
    frozen: NonNegativeInt = 0  # of these, the first ones, which training leaves as they are


class Varied(Section):
    """How often augmentation changes a sentence, or a word that allows it, in each way."""

    made_up: Share  # names made of invented words
    extended: Share  # short names with a part such as "of glass beads" or "wearing a hat"
    coloured: Share  # names with a colour in front
    typed: Share  # sentences with a typing error
    determiner: Share
    described: Share  # adjectives in front of the object
    place: Share
    verb: Share
    phrase: Share
    opposite: Share  # additions become removals and the reverse
    listed: Share  # two or three objects instead of one
    composed: Share  # a sentence put together from clauses replaces the template
    idle: Share  # a sentence without objects stands alone or beside the other
    joined: Share  # two templates in one sentence
    opened: Share  # for each of opening, greeting and ending
    hidden: Share  # invented words replace rare words
    surface: Share  # letter case, articles and final punctuation


class TrainTagger(Section):
    """How the tagger is trained; it is saved and validated `evaluations` times."""

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    warmup_share: Share
    weight_decay: NonNegativeFloat
    label_smoothing: Share
    evaluations: PositiveInt
    as_written: Share  # share of the sentences that are used without augmentation
    varied: Varied
