"""The one exception that a user of the pipeline is meant to read."""


class UserError(Exception):
    """A mistake in the input, told in one sentence: what was expected, what came, and where.

    Entry points print the sentence and exit with status 1, without a traceback.
    """
