"""The code and the params, which stages read again and again, parsed once for each content."""

import copy
from collections.abc import Iterator

import pytest

from cir.core import imports
from stages import params


@pytest.fixture(scope="session", autouse=True)
def sources_are_parsed_once():
    """A stage parses all its modules, for its checkpoints, and a YAML file: 1 s for a test."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name in ((imports, "imported_names"), (params, "_read_yaml")):
            patched.setattr(module, name, once_for_each_content(getattr(module, name)))
        yield


def once_for_each_content(function):
    """Return the function of a file, which remembers what it gave for a path with this content."""
    known = {}

    def remembering(path, *rest):
        key = (path, path.read_bytes() if path.is_file() else None, *rest)
        if key not in known:
            found = function(path, *rest)
            known[key] = list(found) if isinstance(found, Iterator) else found
        return copy.deepcopy(known[key])

    return remembering
