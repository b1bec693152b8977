"""The exception whose message is written for the user."""


class UserError(Exception):
    """An error in the input. Its message says what was expected, what came, and where.

    Entry points print the message and exit with status 1, without a traceback.
    """


def reason_of(error: Exception) -> str:
    """Return the message of another library's error in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
