"""Composers: from the features of a reference image and of an edit to one query vector.

Every composer is called `composer(image [B, D], edit) -> query [B, D]`, in training and in
inference alike. A new one is a file here and a line in COMPOSERS.
"""

from cir.composers.arithmetic import ArithmeticComposer
from cir.composers.base import Composer, EditFeatures

COMPOSERS: dict[str, type[Composer]] = {"arithmetic": ArithmeticComposer}

__all__ = ["COMPOSERS", "ArithmeticComposer", "Composer", "EditFeatures"]
