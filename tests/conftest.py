"""What several test files share."""

import os

# Several tests run at once, and each starts processes of its own: a core each is what there is.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import cir  # noqa: F401  (before open_clip and transformers, wherever a test imports them first)
from cir.encoders import Encoder
from tests.helpers.drawn_split import MICRO, PROMPT, write_drawn_split
from tests.helpers.read_once import sources_are_parsed_once  # noqa: F401  (a fixture)
from tests.helpers.smoke_project import made, one_thread  # noqa: F401  (fixtures)

# Files go to processes whole and in order (make test): the longest first, none left for the end,
# but while one process makes the smoke project, the others had better not wait for it.
FIRST = (
    "stages/test_smoke_pipeline",
    "retrieval/test_submission",
    "classes/test_training",
    "edits/test_tagger",
    "house/test_docs",
    "training/test_naming",
    "datasets/test_scenes",
    "training/test_composition",
    "stages/test_resume",
    "stages/test_teams",
    "app/test_browser",
    "app/test_safety",
    "app/test_stores",
)


def pytest_collection_modifyitems(items):
    """Put the tests of FIRST first, those of each file in the order they stand in."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(f"{item.path.parent.name}/{item.path.stem}", len(place)))


@pytest.fixture(scope="session")
def encoder():
    """An untrained micro encoder; tests that train make their own."""
    encoder = Encoder.create(MICRO, None, PROMPT).eval()
    encoder.inference = "fp32"  # on a GPU too, where tests load what others saved
    return encoder


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    """A small drawn split on disk: 24 triplets of six names, with one near miss each."""
    folder = tmp_path_factory.mktemp("split")
    write_drawn_split(folder, queries=24, seed=5)
    return folder
