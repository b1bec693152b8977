"""The readers that are tried: each makes inputs, and raises if one is neither taken nor refused."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from cir.classes.datasets import label_table
from cir.core.errors import UserError
from cir.core.tables import read_table
from cir.datasets import coco, contest
from cir.datasets.exif_dates import taken
from cir.datasets.folder import read_tags
from cir.images import decoding
from cir.text_search.data import captioned_folder
from tests.fuzz.mutations import changed, json_changed, text_changed, with_checksums
from tests.helpers.fake_search_model import plain
from tests.helpers.image_kinds import kinds
from tests.helpers.search_app import client_of, colour_service, ids, png, write_colours


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        share: of the time, relative to the other targets.
        make: returns a random input.
        run: reads an input; whatever it raises is a fault.
    """

    name: str
    share: float
    make: Callable[[np.random.Generator], bytes]
    run: Callable[[bytes], None]


@contextmanager
def decoder(folder: Path) -> Iterator[Target]:
    """Images of all kinds, with changes anywhere."""
    samples = [kind.data for kind in kinds()]

    def make(rng: np.random.Generator) -> bytes:
        data = changed(samples[int(rng.integers(len(samples)))], rng, samples)
        return with_checksums(data) if rng.integers(0, 2) else data

    def run(data: bytes) -> None:
        with suppress(UserError):
            shown = decoding.decode(data, "fuzzed", max_pixels=2_000_000)
            assert shown.mode == "RGB"
            assert decoding.upright_size(data, "fuzzed") == shown.size
            decoding.decode(data, "fuzzed", max_pixels=2_000_000, least_side=4)
        with suppress(UserError):
            decoding.header(data, "fuzzed")
        taken(data)

    yield Target("decoder", 3, make, run)


@contextmanager
def tables(folder: Path) -> Iterator[Target]:
    """Tables of a contest folder, of tags, labels and captions."""
    root = folder / "tables"
    write_colours(root)
    names = ["red.png", "odd/green.png", "blue.png"]
    data_csv = "query_image,query_text,target_image\n" + "".join(
        f'{name},"Add a ""hat"", now",{names[0]}\n' for name in names
    )
    samples = [
        data_csv,
        "file,tag\n" + "".join(f"{name},a tag\n" for name in names),
        "image,label\n" + "".join(f"{name},cat\n" for name in names),
        "image,caption\n" + "".join(f"{name},a thing\n" for name in names),
        "".join(json.dumps({"image": name, "captions": ["a", "b"]}) + "\n" for name in names),
    ]

    def make(rng: np.random.Generator) -> bytes:
        sample = samples[int(rng.integers(len(samples)))]
        if sample.startswith("{") and rng.integers(0, 2):
            lines = [json_changed(json.loads(line), rng) for line in sample.splitlines()]
            return b"\n".join(lines)
        return text_changed(sample.encode(), rng)

    def run(data: bytes) -> None:
        for name in ("data.csv", "captions.jsonl"):
            (root / name).write_bytes(data)
        path = root / "data.csv"
        readers: list[Callable[[], object]] = [
            lambda: read_table(path, ("image", "caption")),
            lambda: contest.read(root),
            lambda: read_tags(path),
            lambda: label_table.labels(path, names),
            lambda: captioned_folder.read(path),
            lambda: captioned_folder.read(root / "captions.jsonl"),
        ]
        for reader in readers:
            with suppress(UserError), redirect_stderr(StringIO()):
                reader()

    yield Target("tables", 1, make, run)


@contextmanager
def coco_reader(folder: Path) -> Iterator[Target]:
    """Instances in COCO's form."""
    root = folder / "coco"
    write_colours(root)
    names = ["red.png", "odd/green.png", "blue.png"]
    sample = {
        "info": {"year": 2017},
        "images": [
            {"id": number, "file_name": name, "width": 24, "height": 24}
            for number, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": 4, "image_id": 0, "category_id": 1, "area": 90.5, "bbox": [1, 2, 9.5, 10]},
            {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 9.5, 10], "iscrowd": 1},
            {"id": 6, "image_id": 2, "category_id": 7, "area": 12},
        ],
    }

    def run(data: bytes) -> None:
        (root / "instances.json").write_bytes(data)
        with suppress(UserError):
            coco.read(root / "instances.json", root, min_area=0.01)

    yield Target("coco", 1, lambda rng: json_changed(sample, rng), run)


@contextmanager
def api(folder: Path) -> Iterator[Target]:
    """Requests to the routes of the search app; an input is a request in JSON."""
    images = [png(plain("red")), *(kind.data for kind in kinds()[::20])]
    with colour_service(folder / "app") as service:
        client = client_of(service)
        known = ids(service)["red"]
        where = {"folder": "odd", "after": 0, "before": 1e10, "tags": ["red"], "most_bytes": 9999}
        page = {"limit": 3, "offset": 1, "least_score": -1.0}
        bodies = [
            ("/search/text", {"text": "a red one", "where": where} | page),
            ("/tag", {"text": "Add a red hat."}),
        ]
        forms = [
            ("/search/image", {"image_id": known, "tag": ["red"], "limit": "3", "folder": "odd"}),
            ("/search/composed", {"image_id": known, "text": "add blue", "add": ["green", "red"]}),
        ]

        def make(rng: np.random.Generator) -> bytes:
            kind = rng.integers(0, 4)
            if kind == 0:
                path, body = bodies[int(rng.integers(2))]
                request = {"path": path, "json": json_changed(body, rng)}
            elif kind == 1:
                path, fields = forms[int(rng.integers(2))]
                image = changed(images[int(rng.integers(len(images)))], rng, images)
                text = text_changed(b"add red", rng)
                request = {"path": path, "image": image, "text": text}
            elif kind == 2:
                path, fields = forms[int(rng.integers(2))]
                changed_fields = json_changed(fields, rng)
                request = {"path": path, "fields": changed_fields}
            else:
                path = str(rng.choice(["images", "thumbnails"]))
                request = {"get": path, "id": text_changed(known.encode(), rng)}
            text = {
                key: value if isinstance(value, str) else base64.b64encode(value).decode()
                for key, value in request.items()
            }
            return json.dumps(text).encode()

        def run(data: bytes) -> None:
            request = json.loads(data)
            part = {key: base64.b64decode(value) for key, value in request.items() if key not in ("path", "get")}  # noqa: E501  # fmt: skip
            if "get" in request:
                id = "".join(f"%{byte:02x}" for byte in part["id"])
                answer = client.get(f"/{request['get']}/{id}")
            elif "json" in part:
                kind = {"content-type": "application/json"}
                answer = client.post(request["path"], content=part["json"], headers=kind)
            elif "image" in part:
                files = {"image": ("a.png", part["image"], "image/png"), "text": (None, part["text"])}  # noqa: E501  # fmt: skip
                answer = client.post(request["path"], files=files)
            else:
                answer = client.post(request["path"], data=_form(part["fields"]), files={"a": b""})
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert list(answer.json()) == ["error"], answer.text

        yield Target("api", 1, make, run)


def _form(data: bytes) -> dict[str, list[str]]:
    """Return the fields of a form; none if the changes left no JSON object that can be sent."""
    found: object = None
    with suppress(ValueError):
        read = json.loads(data)
        json.dumps(read, ensure_ascii=False).encode()  # half a character cannot be sent
        found = read
    if not isinstance(found, dict):
        return {}
    lists = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
    return {key: [str(value) for value in values] for key, values in lists.items()}


TARGETS = (decoder, tables, coco_reader, api)
