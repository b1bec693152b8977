"""Faults of the model hub in words; commands/test_models_of_the_hub.py tries most at a hub."""

import errno
import re

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from cir.core.hub import why_not_fetched

CLIENT = HfHubHTTPError.__mro__[1]  # the base of the errors of the hub's HTTP client


def of_the_client(name):
    """An error class of the HTTP client, by its name."""
    return type(name, (CLIENT,), {"__module__": CLIENT.__module__})


def wrapped(error):
    """The error as libraries pass it on: inside two others, the inner one without a `from`."""
    try:
        try:
            try:
                raise error
            except Exception as problem:
                raise LocalEntryNotFoundError("an error happened") from problem
        except Exception:
            raise RuntimeError("Failed to download weights")  # noqa: B904
    except RuntimeError as outermost:
        return outermost


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (of_the_client("ConnectError")("refused"), r"cannot be reached \(refused\): check the net"),
        (of_the_client("ReadError")("reset by peer"), r"broke off \(reset by peer\), and nothing"),
        (OSError(errno.ENOSPC, "No space"), "is full: make room there, or name another folder"),
        (OSError("Consistency check failed: file should be of size 5"), "broke off, .*: run again"),
        (ValueError("a config that\n is unknown"), "^Failed to download weights$"),
    ],
)
def test_the_reason_is_found_behind_the_errors_of_libraries(error, sentence):
    told = why_not_fetched(wrapped(error))
    assert "\n" not in told
    assert re.search(sentence, told)


def test_offline_is_told_only_where_it_is_set(monkeypatch):
    missing = LocalEntryNotFoundError("not in the cache")
    assert why_not_fetched(missing) == "not in the cache"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert why_not_fetched(missing).startswith("HF_HUB_OFFLINE is set")
