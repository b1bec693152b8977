"""Test the API: its answers, pages, filters and error messages."""

import asyncio
import io
import json
import threading
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image

from cir.app.application import Settings, create_app
from cir.app.originals import SIZES
from cir.app.service import Search
from cir.app.stores import Filter
from cir.core.errors import UserError
from cir.images import decoding as images
from tests.helpers.fake_search_model import FakeSearchModel, plain
from tests.helpers.search_app import COLOURS, client_of, colour_service, ids, png, running

RED = png(plain("red", (30, 20)))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with colour_service(tmp_path_factory.mktemp("app")) as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    return client_of(service)


def names(response):
    assert response.status_code == 200, response.text
    return [hit["tags"][0] for hit in response.json()["hits"]]


def form(image=RED, **fields):
    return {"files": {"image": ("upload.png", image)}, "data": fields}


def slow_ranking(service, vector):
    """Rank the names of all images by cosine, in the simplest way."""
    found = {image.id: image.tags[0] for image in service.store.images()}
    vectors = service.store.vectors(list(found))
    scores = {id: float(vectors[id] @ vector) for id in found}
    return [found[id] for id in sorted(found, key=lambda id: (-round(scores[id], 6), id))]


def test_words_find_what_they_name(service, client):
    response = client.post("/search/text", json={"text": "something yellow", "limit": 9})
    assert names(response) == slow_ranking(service, service.model.encode_texts(["yellow"])[0])
    answer = response.json()
    assert (answer["kind"], answer["edit"], answer["more"]) == ("text", None, False)
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert set(answer["seconds"]) == {"encode", "search", "total"}
    assert answer["seconds"]["total"] >= answer["seconds"]["encode"] > 0


def test_an_image_finds_those_like_it(service, client):
    response = client.post("/search/image", **form())
    pixels = service.model.preprocess(plain("red", (30, 20)))
    assert names(response) == slow_ranking(service, service.model.encode_pixels(pixels[None])[0])
    assert response.json()["kind"] == "image"


def test_an_image_and_a_sentence_find_the_change(client):
    response = client.post("/search/composed", **form(text="remove red, add blue"))
    assert names(response)[0] == "blue"
    answer = response.json()
    assert answer["kind"] == "composed"
    assert answer["edit"]["add"] == ["blue"]
    assert answer["edit"]["remove"] == ["red"]
    words = [["remove", "other"], ["red", "neg"], [",", "other"], ["add", "other"], ["blue", "pos"]]
    assert answer["edit"]["words"] == words
    assert answer["edit"]["confidence"] == 0.9
    assert answer["edit"]["confidence_by_object"] == {"add": [0.9], "remove": [0.9]}
    assert answer["edit"]["remarks"] == []
    assert set(answer["seconds"]) == {"decode", "tag", "encode", "search", "total"}


def test_given_names_take_the_place_of_the_sentence_s(client):
    sentence = {"text": "remove red, add blue"}
    response = client.post("/search/composed", **form(**sentence, add=["green"], remove=["red"]))
    assert names(response)[0] == "green"
    edit = response.json()["edit"]
    assert (edit["add"], edit["remove"], edit["words"]) == (["green"], ["red"], [])
    assert edit["confidence_by_object"] == {"add": [1.0], "remove": [1.0]}
    both = form(**sentence, add=["green"], remove=["green", "red"], image_weight="2")
    kept = client.post("/search/composed", **both).json()["edit"]
    assert kept["confidence_by_object"] == {"add": [1.0], "remove": [1.0, 1.0]}
    assert kept["remarks"] == []
    assert "tag" not in response.json()["seconds"]
    emptied = client.post("/search/composed", **form(**sentence, add=[""]))
    assert names(emptied)[0] == "red"
    assert emptied.json()["edit"] == {
        "add": [],
        "remove": [],
        "words": [],
        "confidence": 1.0,
        "confidence_by_object": {"add": [], "remove": []},
        "remarks": [],
    }


def test_a_sentence_without_names_ranks_by_the_image_alone(client):
    response = client.post("/search/composed", **form(text="hmm"))
    assert response.json()["kind"] == "composed"
    assert response.json()["edit"] == {
        "add": [],
        "remove": [],
        "words": [],
        "confidence": 0.9,
        "confidence_by_object": {"add": [], "remove": []},
        "remarks": ["it names no object to add or to remove"],
    }
    assert names(response) == names(client.post("/search/image", **form()))


def test_how_much_the_image_counts(client):
    none = client.post("/search/composed", **form(text="add blue", image_weight="0"))
    assert names(none)[0] == "blue"
    assert none.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    much = client.post("/search/composed", **form(text="add blue", image_weight="2"))
    assert names(much)[0] == "red"
    assert client.post("/search/composed", **form(text="x", image_weight="0")).status_code == 400


@pytest.mark.parametrize("path", ["/search/image", "/search/composed"])
def test_an_image_of_the_index_is_left_out_of_its_answers(service, client, path):
    red = ids(service)["red"]
    uploaded = service.source.read("red.png")
    everything = names(client.post(path, **form(uploaded)))
    assert everything[0] == "red"
    others = client.post(path, data={"image_id": red})
    assert names(others) == everything[1:]
    pages = [
        client.post(path, data={"image_id": red, "limit": "3", "offset": str(offset)})
        for offset in (0, 3, 6)
    ]
    assert [name for page in pages for name in names(page)] == everything[1:]
    assert [page.json()["more"] for page in pages] == [True, True, False]


def test_like_this_one_but(service, client):
    data = {"image_id": ids(service)["red"], "text": "remove red, add cyan"}
    assert names(client.post("/search/composed", data=data))[0] == "cyan"


def test_pages_join_without_an_overlap_or_a_hole(client):
    ask = {"text": "red", "limit": 4}
    pages = [client.post("/search/text", json=ask | {"offset": n}) for n in (0, 4, 8)]
    found = [name for page in pages for name in names(page)]
    assert sorted(found) == sorted(COLOURS)
    assert found == names(client.post("/search/text", json={"text": "red", "limit": 200}))
    assert [page.json()["more"] for page in pages] == [True, True, False]


def test_the_cut_off_leaves_out_what_is_farther(client):
    everything = client.post("/search/text", json={"text": "red"}).json()["hits"]
    least = everything[1]["score"] - 1e-4
    found = client.post("/search/text", json={"text": "red", "least_score": least})
    assert names(found) == [hit["tags"][0] for hit in everything[:2]]
    assert not found.json()["more"]
    nothing = client.post("/search/text", json={"text": "red", "least_score": 1.5})
    assert (nothing.status_code, nothing.json()["hits"]) == (200, [])


def test_filters_by_folder_tag_date_and_size(service, client):
    by_name = {image.tags[0]: image for image in service.store.images()}
    odd = {name for name, image in by_name.items() if image.paths[0].startswith("odd/")}
    sizes = sorted(image.bytes for image in by_name.values())
    cases = [
        ({"folder": "odd"}, odd),
        ({"folder": "od"}, set()),
        ({"folder": "../odd"}, set()),
        ({"folder": "odd/../odd"}, set()),
        ({"tags": ["blue"]}, {"blue"}),
        ({"tags": ["blue", "red"]}, set()),
        ({"least_bytes": sizes[4]}, {n for n, i in by_name.items() if i.bytes >= sizes[4]}),
        ({"most_bytes": sizes[4]}, {n for n, i in by_name.items() if i.bytes <= sizes[4]}),
        ({"before": 1.0}, set()),
        ({"after": 1.0, "before": 4e9}, set(by_name)),
        ({"folder": "odd", "tags": ["green"]}, {"green"} & odd),
    ]
    for where, expected in cases:
        found = client.post("/search/text", json={"text": "red", "where": where})
        assert set(names(found)) == expected, where
        fields = {("tag" if key == "tags" else key): value for key, value in where.items()}
        found = client.post("/search/image", **form(**fields))
        assert set(names(found)) == expected, where


def test_how_a_sentence_is_read(client):
    response = client.post("/tag", json={"text": "add a red hat"})
    assert response.json() == {
        "add": ["red hat"],
        "remove": [],
        "words": [["add", "other"], ["a", "other"], ["red", "pos"], ["hat", "pos"]],
        "confidence": 0.9,
        "confidence_by_object": {"add": [0.9], "remove": []},
        "remarks": [],
    }


def test_how_sure_a_reading_is_and_what_is_odd_about_it(client):
    def read(text):
        return client.post("/tag", json={"text": text}).json()

    unsure = read("add red and perhaps blue, remove the green")
    assert (unsure["add"], unsure["remove"]) == (["red", "blue"], ["green"])
    assert unsure["confidence"] == 0.4
    assert unsure["confidence_by_object"] == {"add": [0.9, 0.4], "remove": [0.9]}
    assert read("add red, remove the Red")["remarks"] == ["it both adds and removes 'red'"]
    assert read("hmm")["remarks"] == ["it names no object to add or to remove"]
    assert read("füge roten Hut hinzu")["remarks"] == [
        "it does not look like English, the only language that the tagger reads",
        "it names no object to add or to remove",
    ]
    described = client.get("/openapi.json").json()["components"]["schemas"]["TagBody"]
    assert set(described["required"]) == set(unsure)


def test_the_file_itself_and_its_thumbnail(service, client):
    red = ids(service)["red"]
    original = client.get(f"/images/{red}")
    assert original.content == service.source.read("red.png")
    assert original.headers["content-type"] == "image/png"
    assert original.headers["content-disposition"] == "inline; filename*=UTF-8''red.png"
    assert original.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in original.headers["content-security-policy"]
    thumbnail = client.get(f"/thumbnails/{red}", params={"size": 64})
    assert thumbnail.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(thumbnail.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (24, 24))  # it is not enlarged
        assert np.abs(np.asarray(picture).astype(int) - [255, 0, 0]).max() < 6
    assert client.get(f"/thumbnails/{red}", params={"size": 5000}).status_code == 422


def test_thumbnails_of_photographs_are_upright_small_and_alike(tmp_path):
    scene = np.zeros((1200, 1600, 3), np.uint8)
    scene[:600, :, 0] = np.linspace(0, 255, 1600).astype(np.uint8)
    scene[600:, :, 2] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture is turned by 90 degrees
    (tmp_path / "images").mkdir()
    photograph = tmp_path / "images" / "photograph.jpg"
    Image.fromarray(scene).save(photograph, "JPEG", exif=exif, quality=95)
    with colour_service(tmp_path) as service:
        thumbnail = client_of(service).get(f"/thumbnails/{ids(service)['photograph']}?size=128")
    quick = Image.open(io.BytesIO(thumbnail.content))
    slow = images.fit(images.decode(photograph, "a photograph"), 128)
    assert quick.size == slow.size == (96, 128)
    difference = np.abs(np.asarray(quick).astype(int) - np.asarray(slow))
    assert difference.mean() < 3


def test_words_that_the_model_cuts_off_are_told(client):
    words = [f"word{number}" for number in range(24)]
    for extra in ([], ["red", "mug"]):
        answer = client.post("/search/text", json={"text": " ".join([*words, *extra])}).json()
        assert answer["unread"] == " ".join(extra)
    assert client.post("/search/image", **form()).json()["unread"] == ""


def test_head_is_answered_as_get_is_without_a_body(service):
    client, red = client_of(service), ids(service)["red"]
    described = client.app.openapi()["paths"]
    asked = [path.format(image_id=red) for path, kinds in described.items() if "get" in kinds]
    states = {"/healthz", "/readyz", "/metrics", "/index"}
    assert {*states, f"/images/{red}", f"/thumbnails/{red}"} == set(asked)
    asked += ["/", "/?q=red", "/docs", "/docs/start.js", "/openapi.json", "/static/style.css"]
    asked += ["/static-offline-docs/swagger-ui.css", "/nowhere", "/images/none"]
    for path in asked:
        got, head = client.get(path), client.request("HEAD", path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        if path not in ("/", "/?q=red", "/metrics"):  # these differ each time
            # A compressed file is sent without its length.
            assert head.headers.get("content-length") == got.headers.get("content-length"), path
    for path in ("/search/text", "/tag", "/page/search"):
        assert client.request("HEAD", path).status_code == 405
    assert 'method="HEAD",route="/healthz",status="200"' in client.get("/metrics").text
    assert set(described["/healthz"]) == {"get"}


def test_head_over_a_connection(service):
    with running(service) as address, httpx.Client(base_url=address) as connection:
        for _ in range(3):  # a body would break the next request of the connection
            assert connection.head("/healthz").status_code == 200
            assert connection.head("/?q=red").status_code == 200
            assert connection.get("/healthz").json() == {"status": "alive"}


def test_addresses_below_a_base_path(service):
    settings = Settings(base_path="/my/photos", token="long-enough")
    client, red = client_of(service, settings), ids(service)["red"]
    key = {"headers": {"authorization": "Bearer long-enough"}}
    for path in ("/healthz", "/", "/?q=red", "/docs", f"/images/{red}", "/static/style.css"):
        below = client.get(f"/my/photos{path}", **key)
        assert below.status_code == 200, path
        if path not in ("/", "/?q=red"):  # their times differ
            assert below.content == client.get(path, **key).content  # the proxy took it off
    asked = client.post("/my/photos/search/text", json={"text": "red"}, **key)
    assert names(asked)[0] == "red"
    hit = asked.json()["hits"][0]
    assert (hit["image"], hit["thumbnail"]) == (
        f"/my/photos/images/{red}",
        f"/my/photos/thumbnails/{red}",
    )
    for path in ("/my/photos2/healthz", "/my/healthz", "/photos/healthz"):
        assert client.get(path, **key).status_code == 404
    whole = client.get("/my/photos?q=a%20b")
    assert (whole.status_code, whole.headers["location"]) == (308, "/my/photos/?q=a%20b")
    assert client.get("/my/photos/").status_code == 401
    opened = client.get("/my/photos/?token=long-enough")
    assert (opened.status_code, opened.headers["location"]) == (303, "./")
    assert client.app.openapi()["servers"] == [{"url": "/my/photos"}]
    assert "/my/photos/healthz" not in client.get("/metrics", **key).text


def test_a_camera_s_jpeg_with_a_second_picture_is_shown_as_a_jpeg(tmp_path):
    (tmp_path / "images").mkdir()
    pair = tmp_path / "images" / "pair.jpg"
    plain("red", (40, 30)).save(pair, "MPO", save_all=True, append_images=[plain("blue")])
    assert Image.open(pair).format == "MPO"
    with colour_service(tmp_path) as service:
        client, id = client_of(service), ids(service)["pair"]
        shown = client.get(f"/images/{id}")
        assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
        assert shown.content == pair.read_bytes()
        assert client.get(f"/thumbnails/{id}").status_code == 200
        found = client.post("/search/image", files={"image": ("pair.jpg", shown.content)})
        assert names(found)[0] == "pair"


def test_thumbnails_are_kept_up_to_a_limit(tmp_path):
    with colour_service(tmp_path, settings=Settings(thumbnail_bytes=2000)) as service:
        client, all_ids = client_of(service), sorted(ids(service).values())
        reads = []
        read = service.source.read
        service.source.read = lambda path: reads.append(path) or read(path)
        first = client.get(f"/thumbnails/{all_ids[0]}").content
        assert client.get(f"/thumbnails/{all_ids[0]}").content == first
        assert client.get(f"/thumbnails/{all_ids[0]}?size=200").content == first  # the same size
        assert len(reads) == 1
        for image_id in all_ids[1:]:
            client.get(f"/thumbnails/{image_id}")
        assert client.get(f"/thumbnails/{all_ids[0]}").content == first
        assert len(reads) == len(all_ids) + 1  # it was dropped meanwhile
    assert sorted(SIZES) == list(SIZES)


WRONG = [
    ({"text": ""}, 400, "nothing to search by"),
    ({"text": "  \n"}, 400, "nothing to search by"),
    ({"text": "x" * 2001}, 400, "2,000 characters"),
    ({"text": "\ud800"}, 422, "no text in UTF-8"),
    ({"text": 7}, 422, "text"),
    ({}, 400, "nothing to search by"),
    ({"text": "a", "limit": 0}, 422, "limit"),
    ({"text": "a", "limit": 201}, 422, "limit"),
    ({"text": "a", "offset": -1}, 422, "offset"),
    ({"text": "a", "colour": "red"}, 422, "colour"),
    ({"text": "a", "where": {"size": 3}}, 422, "where.size"),
    ({"text": "a", "where": {"least_bytes": 10**30}}, 400, "least_bytes"),
    ({"text": "a", "where": {"least_bytes": 10**400}}, 400, "least_bytes"),
    ({"text": "a", "where": {"most_bytes": -(10**400)}}, 400, "most_bytes"),
    ({"text": "a", "where": {"after": "Infinity"}}, 400, "after"),
    ({"text": "a", "where": {"tags": ["x"] * 51}}, 400, "at most 50 tags"),
    ({"text": "a", "least_score": "NaN"}, 400, "least_score"),
]


@pytest.mark.parametrize(("body", "status", "part"), WRONG, ids=lambda value: str(value)[:30])
def test_what_is_wrong_with_a_request_is_a_sentence(client, body, status, part):
    response = client.post(
        "/search/text", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert part in response.json()["error"]


@pytest.mark.parametrize(
    ("fields", "status", "part"),
    [
        ({"box": "0,0,1"}, 400, "box must be left,top,right,bottom"),
        ({"box": "0.5,0,0.5,1"}, 400, "at least 0.01 apart"),
        ({"box": "0,0,nan,1"}, 400, "box must be"),
        ({"box": "0,0,1.1,1"}, 400, "from 0 to 1"),
        ({"image_id": ["x"] * 8}, 400, "at most 8 images, got 9"),
        ({"unlike": ["x"] * 51}, 400, "at most 50 images can be wanted or unwanted, got 51"),
        ({"unlike": "x"}, 404, "an id must be a UUID"),
        ({"image_weight": "3"}, 422, "image_weight"),
        ({"image_weight": "nan"}, 422, "image_weight"),
        ({"limit": "many"}, 422, "limit"),
        ({"size": "1"}, 422, "size"),
        ({"add": ["hat"] * 51}, 400, "at most 50 names"),
        ({"add": "x" * 2001}, 400, "2,000 characters"),
    ],
)
def test_what_is_wrong_with_a_form_is_a_sentence(client, fields, status, part):
    response = client.post("/search/composed", **form(**fields))
    assert (response.status_code, list(response.json())) == (status, ["error"]), response.text
    assert part in response.json()["error"]


def test_other_bodies_and_addresses(client):
    asked = [
        (client.post("/search/text", content=b"{oops", headers=JSON), 422),
        (client.post("/search/text", content=b"[" * 90_000, headers=JSON), 400),
        (client.post("/search/text", content=b'{"text":"a"}'), 415),
        (client.post("/search/image", json={"text": "a"}), 415),
        (client.post("/search/image", data={"text": "a"}), 422),
        (client.post("/search/image", data={"limit": "3"}), 400),
        (client.post("/search/image", data={"image": "a text"}), 400),
        (client.post("/search/image", files={"picture": RED}), 400),
        (client.post("/search/image", files=[("image", RED)] * 9), 400),
        (client.post("/search/image", content=b"x", headers=BROKEN_FORM), 400),
        (client.post("/search/text", content=LONG_NUMBER, headers=JSON), 400),
        (client.post("/search/image", data={"least_bytes": "9" * 5000}), 422),
        *((client.post("/search/image", **form_in(charset)), 400) for charset in CHARSETS),
        *((client.post("/search/composed", **form_in(charset)), 400) for charset in CHARSETS),
        (client.get("/search/text"), 405),
        (client.get("/nowhere"), 404),
        (client.post("/tag", json={"text": " "}), 400),
    ]
    for response, status in asked:
        assert response.status_code == status, (response.request.url, response.text)
        assert list(response.json()) == ["error"]


JSON = {"content-type": "application/json"}
BROKEN_FORM = {"content-type": "multipart/form-data"}
LONG_NUMBER = b'{"text": "a", "where": {"least_bytes": ' + b"9" * 5000 + b"}}"
CHARSETS = ("undefined", "punycode", "a\0b")


def form_in(charset):
    """Return a form that claims that its fields have this charset."""
    body = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xffred\xe9\r\n--b--\r\n'
    return {
        "content": body,
        "headers": {"content-type": f"multipart/form-data; boundary=b; charset={charset}"},
    }


@pytest.mark.parametrize("charset", CHARSETS)
def test_a_form_of_the_page_in_an_odd_charset(client, charset):
    for path in ("/page/search", "/page/chips"):
        assert client.post(path, **form_in(charset)).status_code == 400


def test_health_readiness_and_what_there_is(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    ready = client.get("/readyz")
    assert ready.json() == {"status": "ready", "images": len(COLOURS), "model": "fake-colours"}
    spec = client.get("/openapi.json").json()
    paths = "/search/text /search/image /search/composed /images/{image_id} /tag /healthz /index"
    paths += " /download"
    assert {*paths.split(), "/thumbnails/{image_id}", "/readyz", "/metrics"} == set(spec["paths"])
    composed = spec["paths"]["/search/composed"]["post"]["requestBody"]["content"]
    fields = composed["multipart/form-data"]["schema"]["properties"]
    assert {"image", "image_id", "text", "add", "remove", "image_weight"} <= set(fields)


def test_without_a_tagger_all_but_changes_in_sentences_is_answered(tmp_path, client):
    with colour_service(tmp_path, FakeSearchModel(has_tagger=False)) as service:
        bare = client_of(service)

        def same(route, **asked):
            answers = [one.post(route, **asked) for one in (bare, client)]
            assert names(answers[0]) == names(answers[1])
            return answers[0].json()

        same("/search/text", json={"text": "remove yellow"})
        same("/search/image", **form())
        named = form(text="never read", add=["blue"], remove=["red"])
        assert same("/search/composed", **named)["edit"]["add"] == ["blue"]
        assert same("/search/composed", **form())["kind"] == "image"
        refused = [
            bare.post("/search/composed", **form(text="add blue")),
            bare.post("/tag", json={"text": "add blue"}),
        ]
        for response in refused:
            assert response.status_code == 503
            assert list(response.json()) == ["error"]
            assert "dvc repro train_tagger (about 10 minutes)" in response.json()["error"]
        ready = bare.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["note"] == refused[0].json()["error"]
        about = bare.get("/openapi.json").json()["info"]["description"]
        assert refused[0].json()["error"] in about
    about = client.get("/openapi.json").json()["info"]["description"]
    assert "tagger" not in about


def test_the_pages_of_the_api_come_from_here_and_without_inline_code(client):
    page = client.get("/docs")
    assert page.status_code == 200
    sources = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    links = [part.split('"')[0] for part in page.text.split('href="')[1:]]
    assert len(sources) == 2
    for address in sources + links:
        assert not address.startswith(("/", "http")), address  # below a base path too
        assert client.get(f"/{address}").status_code == 200, address
    assert "<script>" not in page.text
    assert "<style" not in page.text


def test_an_empty_index_says_so(tmp_path):
    (tmp_path / "images").mkdir()
    with colour_service(tmp_path) as service:
        client = client_of(service)
        ready = client.get("/readyz").json()
        assert ready["images"] == 0
        assert "python -m cir index" in ready["note"]
        assert names(client.post("/search/text", json={"text": "red"})) == []


def metric(client, line):
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
    assert len(found) <= 1, found
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_metrics_count_what_is_asked(tmp_path):
    with colour_service(tmp_path) as service:
        client = client_of(service)
        for _ in range(3):
            client.post("/search/text", json={"text": "red"})
        client.post("/search/text", json={"text": ""})
        client.get("/images/nothing")
        client.get("/a/b/c")
        client.request("PROPFIND", "/healthz")
        text, route = 'method="POST",route="/search/text"', 'route="/search/text"'
        assert metric(client, f'cir_requests_total{{{text},status="200"}}') == 3
        assert metric(client, f'cir_requests_total{{{text},status="400"}}') == 1
        image = 'method="GET",route="/images/{image_id}",status="404"'
        assert metric(client, f"cir_requests_total{{{image}}}") == 1
        assert metric(client, 'cir_requests_total{method="GET",route="other",status="404"}') == 1
        other = 'cir_requests_total{method="other",route="/healthz",status="405"}'
        assert metric(client, other) == 1
        assert metric(client, f"cir_request_seconds_count{{{route}}}") == 4
        assert metric(client, 'cir_step_seconds_count{step="encode"}') == 3
        assert metric(client, 'cir_batch_size_sum{step="encode_text"}') == 3
        assert metric(client, "cir_index_images") == len(COLOURS)
        assert metric(client, "cir_requests_in_progress") == 1  # this request


def test_metrics_are_there_when_the_store_is_not(tmp_path):
    with colour_service(tmp_path) as service:
        client = client_of(service)
        service.store.close()
        assert "cir_index_images NaN" in client.get("/metrics").text


def test_a_fault_of_the_program_is_logged_and_says_nothing_of_its_inside(tmp_path, caplog):
    with colour_service(tmp_path) as service:

        def fail(texts):
            raise RuntimeError("secret inside")

        service._texts._step = fail
        client = client_of(service)
        response = client.post("/search/text", json={"text": "red"})
        assert response.status_code == 500
        assert "secret" not in response.text
        assert "content-security-policy" in response.headers
        assert "secret inside" in caplog.text
        assert names(client.post("/search/image", **form()))[0] == "red"


def test_clients_at_once_share_calls_and_get_their_own_answers(tmp_path):
    model = FakeSearchModel(seconds=0.02)
    with colour_service(tmp_path, model) as service:
        calls = []
        encode = model.encode_texts
        service._texts._step = lambda texts: calls.append(len(texts)) or encode(texts)
        app = create_app(service)

        async def ask_all():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                asked = [*COLOURS * 4, ""]
                posts = [client.post("/search/text", json={"text": text}) for text in asked]
                return asked, await asyncio.gather(*posts)

        for text, response in zip(*asyncio.run(ask_all()), strict=True):
            if text:
                assert names(response)[0] == text
            else:
                assert response.status_code == 400
    assert sum(calls) == 4 * len(COLOURS)
    assert len(calls) < 2 * len(COLOURS)
    assert max(calls) <= Settings().batch_size


def test_a_closed_service_says_so(tmp_path):
    with colour_service(tmp_path) as service:
        client = client_of(service)
        service.close()
        response = client.post("/search/text", json={"text": "red"})
        assert response.status_code == 503
        assert "shutting down" in response.json()["error"]


def test_the_service_without_http(service):
    answer = asyncio.run(service.search(Search("green", limit=1)))
    assert answer.hits[0].image.tags == ("green",)
    assert answer.more
    odd = Search("green", where=Filter(folder="odd"), limit=9)
    assert all(h.image.paths[0].startswith("odd/") for h in asyncio.run(service.search(odd)).hits)
    for wrong in (Search("a", limit=0), Search("a", offset=10_001), Search(image=b"", text="a")):
        with pytest.raises(UserError):
            asyncio.run(service.search(replace(wrong)))
    tagged = asyncio.run(service.tag("without red"))
    assert tagged.edit.remove == ("red",)


def test_a_real_server_answers_many_at_once_on_open_connections(service):
    with running(service) as address, httpx.Client(base_url=address) as client:
        found, errors = {}, []

        def ask(text):
            try:
                found[text] = names(client.post("/search/text", json={"text": text}))[0]
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=ask, args=(text,)) for text in COLOURS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert found == {text: text for text in COLOURS}
        assert client.get("/healthz").headers["x-content-type-options"] == "nosniff"
        assert "server" not in client.get("/healthz").headers


def test_an_overload_is_refused_early_and_passes(tmp_path):
    model = FakeSearchModel(seconds=0.05)
    with colour_service(tmp_path, model, Settings(most_searches=3, batch_size=1)) as service:

        async def crowd():
            transport = httpx.ASGITransport(create_app(service))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as asking:
                asked = [asking.post("/search/text", json={"text": f"t{n}"}) for n in range(12)]
                first = await asyncio.gather(*asked)
                return first, await asking.post("/search/text", json={"text": "red"})

        answers, after = asyncio.run(crowd())
        refused = [answer for answer in answers if answer.status_code == 503]
        assert sorted({answer.status_code for answer in answers}) == [200, 503]
        assert len(refused) == 9
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert "busy with 3 searches" in refused[0].json()["error"]
        assert after.status_code == 200
