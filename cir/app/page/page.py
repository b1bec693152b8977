"""Serve the search page, which works without JavaScript, and fragments for its script."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from cir.app.calibration import DRAWINGS_ONLY, examples_of, knows_drawings_only
from cir.app.page import page_html
from cir.app.page.page_form import PageForm
from cir.app.reindexing import State
from cir.app.requests import MAX_REARRANGED
from cir.app.search_model import TaggedText
from cir.app.service import NO_TAGGER, Answer, Search, SearchService
from cir.app.web.faults import of_the_store, status_of
from cir.app.web.forms import read_form
from cir.core.errors import UserError
from cir.core.records import Edit

T = TypeVar("T")

NEAR_DUPLICATE = 0.97  # the cosine from which the page hides images on request
_EXAMPLES = 3
_STARTERS = 10
_FIRST_IMAGES = 400  # of the store; the starters are chosen from them at random
_FACETS = 300
_STEPS = {
    "decode": "image",
    "tag": "sentence",
    "encode": "encoding",
    "search": "search",
}


def page_router(
    service: SearchService, libraries: Sequence[tuple[str, str]] = (), page_size: int = 24
) -> APIRouter:
    """Return the routes of the page.

    GET / answers with the whole page. With `?q=` or `?image_id=` the page holds the results too,
    so a search can be shared, reloaded and done without JavaScript. POST /page/search takes the
    same fields and an `image`, and answers with the chips and the results only. POST /page/chips
    answers with the chips of the sentence `q`. POST /page/index indexes the folder again.

    Args:
        service: answers the searches; its store lists folders, tags and images to start from.
        libraries: the names and the relative addresses of the libraries to choose from.
        page_size: the number of results on a page.
    """
    router = APIRouter(include_in_schema=False)
    page = _Page(service, libraries, page_size)

    @router.get("/")
    async def whole(request: Request) -> Response:
        return await page.whole(PageForm.read(request.query_params.multi_items()))

    @router.post("/page/search")
    async def found(request: Request) -> Response:
        try:
            images, fields = await read_form(request, service.settings.max_upload_bytes)
        except UserError as error:
            return page.refused(error)
        return await page.fragment(PageForm.read(fields), images)

    @router.post("/page/chips")
    async def chips(request: Request) -> Response:
        try:
            _, fields = await read_form(request, service.settings.max_upload_bytes)
        except UserError as error:
            return page.refused(error)
        return await page.chips(PageForm.read(fields))

    @router.post("/page/index")
    async def index_again() -> Response:
        service.reindexing.start()
        return RedirectResponse("../", 303)

    return router


class _Page:
    """Makes the answers of the routes."""

    def __init__(
        self, service: SearchService, libraries: Sequence[tuple[str, str]], page_size: int
    ):
        self._service = service
        self._libraries = libraries
        self._page_size = page_size

    async def whole(self, form: PageForm) -> Response:
        """Answer with the whole page and the results of the search in its address."""
        context, status = await self._results(form, ())
        store = self._service.store
        try:
            context["total"], context["folders"], context["tags"] = await asyncio.gather(
                self._of_store(store.count),
                self._of_store(store.folders, _FACETS),
                self._of_store(store.tags, _FACETS),
            )
        except UserError as error:
            known = {"total": None, "folders": (), "tags": ()}
            context, status = self._failed(form, error) | known, status_of(error)
        context["libraries"] = self._libraries
        context["near"] = NEAR_DUPLICATE
        context["max_upload_bytes"] = self._service.settings.max_upload_bytes
        context["no_tagger"] = "" if self._service.model.has_tagger else _capitalised(NO_TAGGER)
        context["indexing"] = _indexing(self._service.reindexing.state)
        context["example"] = next(iter(examples_of(store, context["tags"])), "")
        unfit = knows_drawings_only(self._service.model, store)
        context["drawings_only"] = _capitalised(DRAWINGS_ONLY) if unfit else ""
        return page_html.response("page.html", context, status)

    async def fragment(self, form: PageForm, images: Sequence[bytes]) -> Response:
        """Answer with chips and results; a refused search gives a message in their place."""
        context, status = await self._results(form, images)
        return page_html.response("fragment.html", context, status)

    async def chips(self, form: PageForm) -> Response:
        """Answer with the chips of a sentence."""
        try:
            tagged = await self._service.tag(form.q)
        except UserError as error:
            return self.refused(error, form)
        return page_html.response("chips.html", {"form": form, "tagged": tagged})

    def refused(self, error: UserError, form: PageForm | None = None) -> Response:
        """Answer with the message that the page shows for a refusal."""
        context = self._failed(form or PageForm(), error)
        return page_html.response("fragment.html", context, status_of(error))

    async def _results(self, form: PageForm, images: Sequence[bytes]) -> tuple[dict[str, Any], int]:
        """Return the values that results.html shows, and the HTTP status."""
        try:
            search = form.search(self._page_size, images)
            if search.kind == "text" and not form.q:
                return await self._start(form), 200
            answer, searched = await asyncio.gather(
                self._service.search(search),
                self._of_store(self._service.store.count, search.where),
            )
            if searched == 0 and not form.filters:
                return self._unindexed(form), 200
            return await self._answered(form, search, answer, searched), 200
        except UserError as error:
            return self._failed(form, error), status_of(error)

    async def _of_store(self, look: Callable[..., T], *arguments: object) -> T:
        """Ask the store; a failure of the store gives the status 503."""
        with of_the_store():
            return await self._service.of_state(look, *arguments)

    def _context(self, form: PageForm, state: str, said: str = "", **more: Any) -> dict[str, Any]:
        edit = Edit(form.q, form.add, form.remove)
        tagged = TaggedText.given(edit) if form.edited else None
        common = {"form": form, "state": state, "said": said, "tagged": tagged}
        return common | {"page_size": self._page_size} | more

    def _unindexed(self, form: PageForm) -> dict[str, Any]:
        return self._context(form, "unindexed", said="Nothing is indexed yet.")

    def _failed(self, form: PageForm, error: UserError) -> dict[str, Any]:
        return self._context(form, "error", sentence=_capitalised(str(error)))

    async def _start(self, form: PageForm) -> dict[str, Any]:
        """Return examples of searches and images to start from, chosen at random each time."""
        store = self._service.store
        first = await self._of_store(lambda: list(islice(store.images(), _FIRST_IMAGES)))
        if not first:
            return self._unindexed(form)
        examples = examples_of(store, await self._of_store(store.tags, _FACETS))
        return self._context(
            form,
            "start",
            examples=random.sample(examples, min(_EXAMPLES, len(examples))),
            starters=random.sample(first, min(_STARTERS, len(first))),
        )

    async def _answered(
        self, form: PageForm, search: Search, answer: Answer, searched: int
    ) -> dict[str, Any]:
        best = None if answer.hits else await self._best(search, searched)
        lower = None if best is None else form.lowered(best)
        tagged = answer.tagged
        untagged = tagged is not None and not tagged.edit.add and not tagged.edit.remove
        return self._context(
            form,
            "found",
            said=_said(form, answer, searched),
            answer=answer,
            searched=searched,
            steps=[(_STEPS[key], answer.seconds[key]) for key in _STEPS if key in answer.seconds],
            heading=_heading(form, answer, untagged),
            pieces=page_html.pieces(form.q, tagged.words if tagged else ()),
            untagged=untagged,
            best=best,
            lower=lower,
            most=MAX_REARRANGED,
        ) | {"tagged": tagged}

    async def _best(self, search: Search, searched: int) -> float | None:
        """Return the best score without the least score, if the least score left no result."""
        if search.least_score is None or search.offset or not searched:
            return None
        freely = replace(search, least_score=None, limit=1)
        hits = (await self._service.search(freely)).hits
        return hits[0].score if hits else None


def _capitalised(sentence: str) -> str:
    """Write the first letter large, unless the name of a file or of a field comes first."""
    first = sentence.split(" ", 1)[0]
    return sentence[0].upper() + sentence[1:] if first.isalpha() else sentence


def _indexing(state: State) -> str:
    """Return how far indexing is or how it ended, or "" if the service has not indexed yet."""
    if state.running:
        return f"Indexing: {state.looked_at:,} of {state.of:,} files. Reload to see how far it is."
    if state.error:
        return f"{_capitalised(state.error)}."
    if state.report is None:
        return ""
    report = state.report
    unreadable = f", {len(report.unreadable):,} unreadable" if report.unreadable else ""
    return (
        f"Indexed: {report.indexed:,} new, {report.moved:,} moved, {report.removed:,} removed"
        f"{unreadable}."
    )


def _heading(form: PageForm, answer: Answer, untagged: bool) -> str:
    if answer.kind == "filter":
        return "Images that pass the filters" if form.filters else "All images"
    if answer.kind == "text":
        return f"Images of “{form.q}”"
    changed = answer.kind == "composed" and not untagged
    these = "these" if len(form.image_ids) > 1 else "this one"
    return f"Images like {these}, changed" if changed else f"Images like {these}"


def _said(form: PageForm, answer: Answer, searched: int) -> str:
    """Return what a screen reader says when the results arrive."""
    if not answer.hits:
        return "No image found."
    first = form.offset + 1
    if answer.kind == "filter":
        last = form.offset + len(answer.hits)
        return f"Images {first:,} to {last:,} of {searched:,} that pass the filters."
    nothing = "Nothing fits well. " if answer.fits is False else ""
    return (
        f"{nothing}Results {first:,} to {form.offset + len(answer.hits):,}, best score "
        f"{page_html.score(max(hit.score for hit in answer.hits))}, of {searched:,} images "
        "searched."
    )
