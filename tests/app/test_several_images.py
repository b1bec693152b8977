"""Test searches by several images, by a region of one, and with images that are (un)wanted."""

import json

import numpy as np
import pytest

from cir.app.settings import Settings
from tests.helpers.fake_search_model import FakeSearchModel, plain, text_features, unit
from tests.helpers.page_gallery import gallery_service, picture
from tests.helpers.search_app import client_of, ids, png

WEIGHTS = Settings()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with gallery_service(tmp_path_factory.mktemp("gallery")) as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    return client_of(service)


@pytest.fixture(scope="module")
def known(service):
    return ids(service)


def vector(image):
    model = FakeSearchModel()
    return model.encode_pixels(model.preprocess(image)[None])[0]


def posted(client, path="/search/image", images=(), **fields):
    files = [("image", ("image.png", png(image))) for image in images]
    response = client.post(path, data={"limit": 200, **fields}, files=files or None)
    assert response.status_code == 200, response.text
    return [(hit["id"], hit["score"]) for hit in response.json()["hits"]]


def ranked(service, query, left_out=()):
    """The slow way: all images of the store by their cosine to a query, less those left out."""
    query = query / np.linalg.norm(query)
    everything = service.store.vectors([image.id for image in service.store.images()])
    scores = {id: float(row @ query) for id, row in everything.items() if id not in left_out}
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))


def center(service):
    everything = service.store.vectors([image.id for image in service.store.images()])
    return np.mean(list(everything.values()), axis=0)


def same(found, wanted):
    assert [id for id, _ in found] == [id for id, _ in wanted]
    assert [s for _, s in found] == pytest.approx([s for _, s in wanted], abs=1e-5)


def test_several_uploads_and_indexed_images_count_by_their_mean(service, client, known):
    query = vector(plain("red")) + vector(plain("blue")) + vector(picture("green", "white"))
    left_out = [known["green over white"]]
    found = posted(client, images=[plain("red"), plain("blue")], image_id=left_out)
    same(found, ranked(service, query, left_out))
    two = [known["red"], known["yellow"]]
    query = vector(plain("red")) + vector(plain("yellow"))
    same(posted(client, image_id=two), ranked(service, query, two))


def test_a_change_is_applied_to_each_image(service, client, known):
    two = [known["red"], known["green"]]
    blue = unit(text_features("blue")[None])[0]
    of_each = [unit((vector(plain(colour)) + blue)[None])[0] for colour in ("red", "green")]
    found = posted(client, "/search/composed", image_id=two, text="add blue")
    same(found, ranked(service, sum(of_each), two))


def test_the_mean_of_opposite_images_is_refused(client):
    dark, bright = plain((55, 55, 55)), plain((168, 168, 168))
    files = [("image", ("image.png", png(image))) for image in (dark, bright)]
    response = client.post("/search/image", files=files)
    assert (response.status_code, "cancel out" in response.text) in {(400, True), (200, False)}


def test_feedback_is_that_of_rocchio(service, client, known):
    like, unlike = [known["red"], known["yellow"]], [known["red over blue"]]
    query = unit(text_features("green")[None])[0].astype(float)
    wanted = (vector(plain("red")) + vector(plain("yellow"))) / 2
    query += WEIGHTS.wanted_weight * (wanted - center(service))
    query -= WEIGHTS.unwanted_weight * (vector(picture("red", "blue")) - center(service))
    body = {"text": "green", "like": like, "unlike": unlike, "limit": 200}
    hits = client.post("/search/text", json=body).json()["hits"]
    same([(hit["id"], hit["score"]) for hit in hits], ranked(service, query, like + unlike))


def test_feedback_goes_with_images_and_changes_too(service, client, known):
    unlike = [known["red over white"], known["red over yellow"]]
    away = (vector(picture("red", "white")) + vector(picture("red", "yellow"))) / 2
    away = away - center(service)
    start = vector(plain("red"))
    query = start - WEIGHTS.unwanted_weight * away
    found = posted(client, images=[plain("red")], unlike=unlike)
    same(found, ranked(service, query, unlike))
    composed = unit((start + unit(text_features("blue")[None])[0])[None])[0]
    query = composed - WEIGHTS.unwanted_weight * away
    fields = {"add": "blue", "unlike": unlike}
    same(
        posted(client, "/search/composed", images=[plain("red")], **fields),
        ranked(service, query, unlike),
    )


def test_the_weights_are_settings(service, known):
    mine = client_of(service)
    service.settings, before = Settings(unwanted_weight=0.9), service.settings
    try:
        away = vector(plain("green")) - center(service)
        query = unit(text_features("green")[None])[0] - 0.9 * away
        body = {"text": "green", "unlike": [known["green"]], "limit": 200}
        hits = mine.post("/search/text", json=body).json()["hits"]
    finally:
        service.settings = before
    same([(hit["id"], hit["score"]) for hit in hits], ranked(service, query, [known["green"]]))


def test_pages_with_images_left_out_repeat_and_miss_nothing(client, known):
    given = {"image_id": [known["red"], known["blue"]], "unlike": [known["red over blue"]]}
    whole = posted(client, **given)
    pages = [posted(client, **{**given, "limit": 10, "offset": o}) for o in range(0, 60, 10)]
    assert [hit for page in pages for hit in page] == whole
    assert len(whole) == 48


def test_the_region_of_a_box_is_what_counts(service, client, known):
    both = picture("red", "blue")
    same(posted(client, images=[both], box="0,0,1,0.5"), ranked(service, vector(plain("red"))))
    below = posted(client, image_id=[known["red over blue"]], box="0.2,0.5,0.9,1")
    same(below, ranked(service, vector(plain("blue")), [known["red over blue"]]))
    # Of several images, the first one has the region.
    query = vector(plain("red")) + vector(both)
    same(posted(client, images=[both, both], box="0,0,1,0.5"), ranked(service, query))


def test_the_smallest_region_is_a_pixel(service, client):
    found = posted(client, images=[picture("red", "blue", (4, 4))], box="0.5,0,0.51,0.01")
    same(found, ranked(service, vector(plain("red"))))


def test_the_page_takes_the_same_fields(client, known):
    address = f"/?image_id={known['red']}&image_id={known['blue']}&unlike={known['green']}"
    page = client.get(address).text
    found = posted(client, image_id=[known["red"], known["blue"]], unlike=[known["green"]])
    shown = [id for id, _ in found][:24]
    assert [part.split('"')[0] for part in page.split('<li class="hit" data-id="')[1:]] == shown
    next_page = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert f"image_id={known['red']}&image_id={known['blue']}" in next_page
    assert f"unlike={known['green']}" in next_page


def test_the_schema_has_the_lists(client):
    schema = json.dumps(client.get("/openapi.json").json())
    for field in ("like", "unlike", "box"):
        assert f'"{field}"' in schema
