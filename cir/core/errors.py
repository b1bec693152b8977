"""The one exception that a user of the pipeline is meant to read."""


class UserError(Exception):
    """A mistake in the input, told in one sentence: what was expected, what came, and where.

    Entry points print the sentence and exit with status 1, without a traceback.
    """


def reason_of(error: Exception) -> str:
    """Return the message of another library's error in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
