"""The loaders on the real annotation files: their counts are the published ones.

CIR_ANNOTATIONS names a folder with fashioniq/ (captions/, image_splits/), cirr/ (captions/,
image_splits/), circo/ (annotations/) and mit_states/ (lists of words, adjectives_115.txt and
tirg_test_nouns_49.txt); those that are not there are skipped. Photos are not needed.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from cir.published.datasets.circo import CIRCO
from cir.published.datasets.cirr import CIRR
from cir.published.datasets.fashioniq import CATEGORIES, FashionIQ
from cir.published.datasets.mit_states import TEST_NOUNS
from tests.helpers import miniature_datasets as mini

GIVEN = os.environ.get("CIR_ANNOTATIONS")
ROOT = Path(GIVEN or ".")
pytestmark = pytest.mark.skipif(
    GIVEN is None, reason="CIR_ANNOTATIONS names no folder with the real annotation files"
)


def given(name):
    """A folder in CIR_ANNOTATIONS."""
    if not (ROOT / name).is_dir():
        pytest.skip(f"CIR_ANNOTATIONS has no {name}/")
    return ROOT / name


def read(dataset, name):
    (part,) = [part for part in dataset.parts() if part.name == name]
    return part.read()


@pytest.mark.parametrize(
    ("gallery", "sizes"),
    [
        ("full", (3817, 6346, 5373)),
        ("val", (2628, 3089, 2902)),
        ("pooled", (15415, 15415, 15415)),  # 15,536 ids, 121 of them in two categories
    ],
)
def test_fashioniq_validation(gallery, sizes):
    dataset = FashionIQ(given("fashioniq"), gallery=gallery)
    found = [read(dataset, f"val {category}") for category in CATEGORIES]
    assert [len(query_set.queries) for query_set in found] == [2017, 2038, 1961]
    assert tuple(len(query_set.gallery) for query_set in found) == sizes


def test_fashioniq_captions_one_by_one_double_the_queries():
    dataset = FashionIQ(given("fashioniq"), captions="separate")
    assert len(read(dataset, "val dress").queries) == 2 * 2017


def test_fashioniq_joined_captions_as_people_wrote_them():
    joined = [q.texts for q in read(FashionIQ(given("fashioniq")), "val dress").queries]
    assert joined[0] == ("Is shiny and silver with shorter sleeves and fit and flare",)
    both = read(FashionIQ(given("fashioniq"), captions="searle"), "val dress").queries[0]
    assert both.texts[1] == "fit and flare and is shiny and silver with shorter sleeves"


def test_cirr_validation():
    val = read(CIRR(given("cirr").parent), "val")
    assert (len(val.queries), len(val.gallery)) == (4181, 2297)
    assert all(q.target in q.members and q.reference in q.members for q in val.queries)


def test_circo_validation(tmp_path):
    (tmp_path / "annotations").mkdir()
    real = given("circo") / "annotations" / "val.json"
    (tmp_path / "annotations" / "val.json").symlink_to(real.resolve())
    queries = CIRCO(tmp_path).read_queries("val")
    assert len(queries) == 220
    assert sum(len(q.hits) for q in queries) == 916  # 4.16 right answers each
    aspects = Counter(aspect for q in queries for aspect in q.aspects)
    assert len(aspects) == 9
    assert aspects["negation"] == 21
    ids = sorted({name for q in queries for name in (q.reference, *q.hits)}, key=int)
    listing = [{"id": int(name), "file_name": f"{int(name):012d}.jpg"} for name in ids]
    place = tmp_path / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json"
    mini.dump(place, {"images": listing})
    assert len(read(CIRCO(tmp_path), "val").gallery) == len(ids)


def test_mit_states_words():
    adjectives = (given("mit_states") / "adjectives_115.txt").read_text().split()
    nouns = (given("mit_states") / "tirg_test_nouns_49.txt").read_text().split()
    assert len(set(adjectives)) == len(adjectives) == 115
    assert set(nouns) == TEST_NOUNS
    assert len(nouns) == 49
