"""Define the routes of the JSON API. A refused request gets one sentence in "error"."""

import json
from pathlib import PurePosixPath
from typing import Annotated, TypeVar
from urllib.parse import quote

from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response, StreamingResponse

from cir.app import downloads
from cir.app.originals import SIZES, Originals, Thumbnails
from cir.app.reindexing import State
from cir.app.schemas import (
    AnswerBody,
    ComposedSearch,
    ErrorBody,
    ImageSearch,
    TagBody,
    Text,
    TextSearch,
    answer_body,
    fields_of,
    index_body,
    tag_body,
)
from cir.app.service import NO_TAGGER, Search, SearchService
from cir.app.web import uploads
from cir.app.web.errors import said
from cir.app.web.faults import BadRequest, Unreadable, WrongType
from cir.app.web.forms import read_form
from cir.app.web.readiness import Readiness
from cir.images.decoding import encode

Form = TypeVar("Form", bound=ImageSearch)

# Browsers may get these types only: a file in the folder may contain code, such as an SVG.
_SHOWN = ("image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp")
_DOWNLOADS = {"csv": "text/csv", "jsonl": "application/jsonl", "zip": "application/zip"}
_KEPT = {"cache-control": "private, max-age=86400"}  # the content of an id never changes
_CLOSED = {"content-security-policy": "default-src 'none'; sandbox"}
_REFUSALS: dict[int | str, dict] = {
    status: {"model": ErrorBody} for status in (400, 404, 408, 413, 415, 422, 503)
}
_ABSENT: dict[int | str, dict] = {404: {"model": ErrorBody}}


class Json(Response):
    """Writes JSON in ASCII, so that every character of a file name arrives."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def add_api(
    app: FastAPI, service: SearchService, readiness: Readiness, base_path: str = ""
) -> None:
    """Add the routes of searches, images and indexing, and of the state of the service to the app.

    The routes belong to the app itself, because FastAPI matches the routes of an included router
    again at each request, which doubles the time in FastAPI.
    """
    _add_searches(app, service, base_path)
    _add_images(app, service)
    _add_downloads(app, service)
    _add_indexing(app, service)
    _add_state(app, service, readiness)


def _add_searches(app: FastAPI, service: SearchService, base_path: str) -> None:
    kind = {"tags": ["search"]}
    answers = {200: {"model": AnswerBody}, **_REFUSALS}
    tagged = {200: {"model": TagBody}, **_REFUSALS}

    async def answered(search: Search) -> Response:
        return Json(answer_body(await service.search(search), base_path))

    async def form_of(request: Request, kind: type[Form]) -> Search:
        service.require_room()  # before the form is read, which takes most of a refusal's time
        images, fields = await read_form(request, service.settings.max_upload_bytes)
        try:
            return kind.model_validate(fields_of(fields)).search(images)
        except ValidationError as error:
            raise Unreadable(said(error.errors())) from None

    @app.post("/search/text", responses=answers, dependencies=[Depends(_json)], **kind)
    async def search_by_words(body: TextSearch) -> Response:
        """Find the images that match a text."""
        return await answered(body.search())

    @app.post("/search/image", responses=answers, openapi_extra=_form_schema(ImageSearch), **kind)
    async def search_by_an_image(request: Request) -> Response:
        """Find images that are similar to one image or several, uploaded or of the index."""
        return await answered(await form_of(request, ImageSearch))

    @app.post(
        "/search/composed", responses=answers, openapi_extra=_form_schema(ComposedSearch), **kind
    )
    async def search_by_an_image_and_a_change(request: Request) -> Response:
        """Find images like the given one after the change that the text or the names describe."""
        return await answered(await form_of(request, ComposedSearch))

    @app.post("/tag", responses=tagged, dependencies=[Depends(_json)], **kind)
    async def tag(body: Text) -> Response:
        """Return what a sentence adds and removes, how sure that is, and each word's label."""
        return Json(tag_body(await service.tag(body.text)))


def _add_images(app: FastAPI, service: SearchService) -> None:
    kind = {"tags": ["images"]}
    settings = service.settings
    thumbnails = Thumbnails(service.originals, settings.max_pixels, settings.thumbnail_bytes)
    jpeg = {200: {"content": {"image/jpeg": {}}}, **_ABSENT}

    @app.get("/images/{image_id}", response_class=Response, responses=_ABSENT, **kind)
    async def image(image_id: str) -> Response:
        """Send the file, or a JPEG of it if no browser shows its format, such as TIFF."""
        return await service.in_thread(_original, service, image_id)

    @app.get("/thumbnails/{image_id}", response_class=Response, responses=jpeg, **kind)
    async def thumbnail(
        image_id: str, size: Annotated[int, Query(ge=16, le=SIZES[-1])] = 256
    ) -> Response:
        """Send a JPEG whose longer side has at most `size` pixels, rounded up to a power of two."""
        made = await service.in_thread(thumbnails.get, image_id, size)
        return Response(made, headers={**_KEPT, **_CLOSED}, media_type="image/jpeg")


def _add_downloads(app: FastAPI, service: SearchService) -> None:
    form = {
        "requestBody": {
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "array", "items": {"type": "string"}},
                            "format": {"enum": list(_DOWNLOADS)},
                        },
                    }
                }
            }
        }
    }

    @app.post(
        "/download",
        response_class=Response,
        responses=_REFUSALS,
        openapi_extra=form,
        tags=["images"],
    )
    async def download(request: Request) -> Response:
        """Send images of the index as a list (csv or jsonl), or their files (zip)."""
        _, fields = await read_form(request, service.settings.max_upload_bytes)
        kind = dict(fields).get("format", "")
        if kind not in _DOWNLOADS:
            raise BadRequest(f"format must be one of {', '.join(_DOWNLOADS)}, got {kind[:40]!r}")
        asked = [value for name, value in fields if name == "id"]
        return await service.in_thread(_downloaded, service.originals, asked, kind)


def _downloaded(originals: Originals, ids: list[str], kind: str) -> Response:
    images = downloads.records(originals, ids)
    headers = {"content-disposition": f'attachment; filename="images.{kind}"'}
    about = {"headers": headers, "media_type": _DOWNLOADS[kind]}
    if kind == "zip":
        return StreamingResponse(downloads.chunks(downloads.as_zip(originals, images)), **about)
    write = downloads.as_csv if kind == "csv" else downloads.as_jsonl
    return Response(write(images), **about)


def _original(service: SearchService, image_id: str) -> Response:
    record, encoded = service.originals.read(image_id)
    path = PurePosixPath(record.paths[0])
    content_type = uploads.header(encoded, record.paths[0]).content_type
    if content_type not in _SHOWN:
        picture = uploads.decode(encoded, service.settings.max_pixels, record.paths[0])
        encoded, content_type, path = encode(picture), "image/jpeg", path.with_suffix(".jpg")
    name = path.name.encode("utf-8", "replace")
    disposition = {"content-disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}"}
    return Response(encoded, headers={**_KEPT, **_CLOSED, **disposition}, media_type=content_type)


def _add_state(app: FastAPI, service: SearchService, readiness: Readiness) -> None:
    kind = {"tags": ["state"]}

    @app.get("/healthz", **kind)
    async def alive() -> dict[str, str]:
        """Tell that the process answers; this does not check the model or the store."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"model": ErrorBody}}, **kind)
    async def ready() -> Response:
        """Check that the model is the one on disk and that the store belongs to it."""
        sentence = await service.of_state(readiness.problem)
        if sentence is not None:
            return Json({"error": sentence}, 503)
        images = await service.of_state(service.store.count)
        state = {"status": "ready", "images": images, "model": service.model.fingerprint()}
        notes = [] if service.model.has_tagger else [NO_TAGGER]
        if not images:
            notes.append("the index is empty: fill it with python -m cir index FOLDER")
        return Json(state | ({"note": "; ".join(notes)} if notes else {}))

    @app.get("/metrics", response_class=Response, **kind)
    async def metrics() -> Response:
        """Return the metrics of this process in the format of Prometheus."""
        text = await service.of_state(service.telemetry.text)
        return Response(text, headers={"content-type": service.telemetry.content_type})


def _add_indexing(app: FastAPI, service: SearchService) -> None:
    kind = {"tags": ["index"]}

    @app.post("/index", status_code=202, responses={202: {"model": State}}, **kind)
    async def index_again() -> Response:
        """Index the folder again, unless that is under way; searches go on meanwhile."""
        return Json(index_body(service.reindexing.start()), 202)

    @app.get("/index", responses={200: {"model": State}}, **kind)
    async def indexing() -> Response:
        """Tell how far indexing is, or how it ended."""
        return Json(index_body(service.reindexing.state))


def _json(request: Request) -> None:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":
        raise WrongType(f"expected application/json, got {sent[:100]!a}")


def _form_schema(kind: type[BaseModel]) -> dict:
    """Describe a form for OpenAPI: the fields of `kind` and the image."""
    schema = kind.model_json_schema()
    about = "JPEG, PNG, WebP, GIF, BMP, …; repeat it for several images"
    image = {"type": "string", "format": "binary", "description": about}
    schema["properties"] = {"image": image, **schema["properties"]}
    return {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}
