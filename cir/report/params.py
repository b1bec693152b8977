"""Declare the params of the report."""

from pydantic import NonNegativeInt, PositiveInt

from cir.core.params import Section


class Report(Section):
    """How many queries the page shows at most, and the longest side of an image in pixels."""

    queries: NonNegativeInt
    thumbnail: PositiveInt
