"""Test what a score is worth: leads, the levels of random queries, and what is said of them."""

import asyncio
import random
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from cir.app import calibration
from cir.app.calibration import calibrate, knows_drawings_only, leads
from cir.app.service import Search, SearchService
from cir.app.stores import open_store
from cir.app.stores.records import Calibration, info_payload, to_info
from cir.core.errors import UserError
from cir.datasets.sources import open_source
from tests.helpers.fake_search_model import FakeSearchModel, plain
from tests.helpers.page_gallery import gallery_service
from tests.helpers.search_app import client_of, png

NONSENSE = "qwzx"


@contextmanager
def calibrated(folder):
    with gallery_service(folder) as service:
        calibrate(service.model, service.store)
        yield service


def answer(service, **search):
    return asyncio.run(service.search(Search(**search)))


def test_a_lead_by_hand():
    # Of 0, 1, ... 100 the median is 50 and the lowest twentieth ends at 5: one unit is 45.
    assert leads([50, 95, 5], np.arange(101.0)) == pytest.approx([0, 1, -1])
    # Images that match change neither the median nor the lowest twentieth.
    matching = np.concatenate([np.arange(90.0), np.full(11, 1000.0)])
    assert leads([1000], matching) == pytest.approx([(1000 - 50) / 45])
    assert np.isfinite(leads([0.5], np.full(9, 0.5))).all()


def test_levels_are_what_random_texts_reach(tmp_path):
    with calibrated(tmp_path) as service:
        store, model = service.store, service.model
        everything = np.stack(list(store.vectors([i.id for i in store.images()]).values()))
        rng = random.Random(0)
        texts = [calibration._random_text(rng) for _ in range(100)]
        best = []
        for text in texts:
            scores = sorted(float(score) for score in everything @ model.encode_texts([text])[0])
            middle, low = np.quantile(scores, 0.5), np.quantile(scores, 0.05)
            best.append((round(scores[-1], 6) - middle) / (middle - low))
        wanted = (sorted(best)[int(0.9 * 99)], max(best))
        fair, good = store.info.calibration.levels["text"]
        assert wanted[0] - 0.01 <= fair < good <= wanted[1]
        assert store.info.calibration.levels.keys() == {"text", "image", "composed"}


def test_random_texts_are_unlikely_and_the_levels_mark_all_hits(tmp_path):
    with calibrated(tmp_path) as service:
        rng = random.Random("other texts than those of the calibration")
        found = [answer(service, text=calibration._random_text(rng)) for _ in range(100)]
        assert sum(one.fits is False for one in found) >= 75
        for one in found:
            order = [("unlikely", "fair", "good").index(hit.fit) for hit in one.hits]
            assert order == sorted(order, reverse=True)
        assert answer(service, text=NONSENSE, offset=24).fits is None


def test_the_answer_of_the_api_says_how_well_images_fit(tmp_path):
    with calibrated(tmp_path) as service:
        body = client_of(service).post("/search/text", json={"text": NONSENSE}).json()
        wanted = answer(service, text=NONSENSE)
        assert [hit["fit"] for hit in body["hits"]] == [hit.fit for hit in wanted.hits]
        assert body["fits"] is wanted.fits is False


def test_without_a_calibration_nothing_is_said(tmp_path):
    with gallery_service(tmp_path) as service:
        body = client_of(service).post("/search/text", json={"text": NONSENSE}).json()
        assert body["fits"] is None
        assert {hit["fit"] for hit in body["hits"]} == {None}
        page = client_of(service).get(f"/?q={NONSENSE}").text
        assert 'class="fit' not in page
        assert "Nothing fits" not in page


def test_the_page_says_that_nothing_fits(tmp_path):
    with calibrated(tmp_path) as service:
        page = client_of(service).get(f"/?q={NONSENSE}").text
        assert "Nothing fits well: random words find images as near as the best one here" in page
        assert 'data-said="Nothing fits well. Results 1 to 24' in page
        assert page.count('<span class="fit unlikely"') == 24
        kind = answer(service, text="red and blue").hits[0].fit
        page = client_of(service).get("/?q=red+and+blue").text
        assert f'<span class="fit {kind}"' in page


def test_it_is_kept_and_measured_again_only_after_a_change(tmp_path):
    with calibrated(tmp_path) as service:
        first, model, source = service.store.info, service.model, service.source.name
    place = tmp_path / "store"
    with open_store(str(place), None) as store:
        assert store.info == first
        assert store.info.calibration.images == store.count() == 51
        model.batches.clear()
        calibrate(model, store)
        assert model.batches == []
        store.delete([image.id for image in store.images()][:4])  # fewer than a tenth
        calibrate(model, store)
        assert store.info.calibration.images == 51
        store.delete([image.id for image in store.images()][:3])
        calibrate(model, store)
        assert store.info.calibration.images == 44
    moved = replace(first, source="folder:/elsewhere", calibration=None)
    with open_store(str(place), moved, moved=True) as store:
        assert store.info.calibration.images == 44
        store.delete([image.id for image in store.images()][:30])
        calibrate(model, store)
        assert store.info.calibration.images == 44  # fourteen images are too few to measure
    assert source != moved.source


def test_a_calibration_that_cannot_be_read_is_none():
    found = Calibration(9, {"text": (1.0, 2.0)}, ("a dog",), True)
    with_it = replace(to_info({"fingerprint": "f", "dim": 3, "source": "s"}), calibration=found)
    assert to_info(info_payload(with_it)) == with_it
    for broken in (
        {},
        {"images": 1},
        [],
        "x",
        {**info_payload(with_it)["calibration"], "levels": 3},
    ):
        written = {**info_payload(with_it), "calibration": broken}
        assert to_info(written) == replace(with_it, calibration=None)


def test_a_model_that_cannot_search_by_words_is_calibrated_for_images(tmp_path):
    class WithoutWords(FakeSearchModel):
        def encode_texts(self, texts):
            raise UserError("this model cannot search by words alone")

    with gallery_service(tmp_path) as service:
        calibrate(WithoutWords(), service.store)
        assert service.store.info.calibration.levels.keys() == {"image", "composed"}
        assert service.store.info.calibration.examples == ()


def test_photographs_need_a_model_that_knows_them(tmp_path):
    from cir.app.indexing import indexed_store

    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(30):
        shade = (8 * number, 255 - 8 * number, 90)
        (photos / f"{number}.png").write_bytes(png(plain(shade, (200, 240))))
    source, model = open_source(f"folder:{photos}"), FakeSearchModel()
    with indexed_store(str(tmp_path / "store"), source, model) as (store, _):
        assert store.info.calibration.photographs
        assert knows_drawings_only(model, store)
        service = SearchService(model, store, source)
        page = client_of(service).get("/").text
        assert "get one for photographs with cir models get photos" in page
        wide = FakeSearchModel()
        wide.least_side = 448
        assert not knows_drawings_only(wide, store)
        service.close()


def test_examples_come_from_what_is_indexed(tmp_path):
    with gallery_service(tmp_path) as service:
        found = Calibration(51, {}, ("a red ball", "the sea"))
        service.store.note(replace(service.store.info, calibration=found))
        assert "for example: " in client_of(service).get("/").text
        assert "a red ball" not in client_of(service).get("/").text  # tags come first
        service.store.update([replace(image, tags=()) for image in service.store.images()])
        page = client_of(service).get("/").text
        assert 'placeholder="for example: a red ball"' in page
        assert 'data-text="the sea"' in page
