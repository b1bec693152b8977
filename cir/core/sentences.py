"""Helpers for sentences to the user."""

from collections.abc import Sequence


def listed(items: Sequence[object], between: str = ", ", most: int = 3) -> str:
    """The first few items as they stand in a sentence: "a, b, c and 7 more"."""
    text = between.join(str(item) for item in items[:most])
    return text if len(items) <= most else f"{text} and {len(items) - most} more"
