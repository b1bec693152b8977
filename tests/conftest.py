"""What several test files share."""

import io
import os

# Several tests run at once, and each starts processes of its own: a core each is what there is.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

import cir  # noqa: F401  (before open_clip and transformers, wherever a test imports them first)
from cir.core.records import Triplet
from cir.datasets.scenes import draw_scene
from cir.encoders import Encoder
from cir.images import shards
from tests.helpers.smoke_project import made, one_thread  # noqa: F401  (fixtures)

# Files go to processes whole and in order (make test): the longest first, none left for the end,
# but while one process makes the smoke project, the others had better not wait for it.
FIRST = (
    "test_smoke_pipeline",
    "test_training",
    "test_submission",
    "test_scoring_stages",
    "test_benchmark_stage",
    "test_composition",
    "test_naming",
    "test_tagger",
    "test_resume",
    "test_class_stages",
    "test_class_training",
    "test_teams",
    "test_app_browser",
    "test_app_safety",
    "test_stores",
)
MICRO = "ViTamin-Micro-64"
PROMPT = "a photo of a {}"


def pytest_collection_modifyitems(items):
    """Put the tests of FIRST first, those of each file in the order they stand in."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def encoder():
    """An untrained micro encoder; tests that train make their own."""
    return Encoder.create(MICRO, None, PROMPT).eval()


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    """A small drawn split on disk: 24 triplets of six names, with one near miss each."""
    folder = tmp_path_factory.mktemp("split")
    write_drawn_split(folder, queries=24, seed=5)
    return folder


def write_drawn_split(folder, queries, seed):
    """Draw triplets that exchange one object for another, and write them as a split."""
    rng = np.random.default_rng(seed)
    names = ["red mug", "blue car", "green fish", "yellow hat", "purple key", "pink tree"]
    images, triplets = [], []
    for number in range(queries):
        kept, removed, added, other = (str(name) for name in rng.permutation(names)[:4])
        ids = [f"{kind}{number}" for kind in ("reference", "target", "miss")]
        for name, shown in zip(ids, (removed, added, other), strict=True):
            image = io.BytesIO()
            draw_scene([kept, shown], np.random.default_rng((seed, len(images)))).save(image, "PNG")
            images.append((name, image.getvalue(), (kept, shown)))
        text = f"replace the {removed} with a {added}"
        triplets.append(
            Triplet(f"q{number}", ids[0], text, ids[1], (added,), (removed,), (ids[2],))
        )
    shards.write(folder, images, triplets, {"source": "test"}, rows_per_shard=50)
