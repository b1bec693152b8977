"""Fixtures for the tests that use the page in a browser."""

import asyncio
import re
import threading

import pytest

from cir.app.service import Search
from tests.helpers.page_gallery import PAGE, gallery_service
from tests.helpers.search_app import ids, running


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with gallery_service(tmp_path_factory.mktemp("gallery")) as service:
        yield service


@pytest.fixture(scope="module")
def address(service):
    with running(service) as address:
        yield address


@pytest.fixture(scope="module")
def image_ids(service):
    return ids(service)


@pytest.fixture(scope="module")
def browser():
    # Not at the top: without a browser this import skips a file, and other files need none.
    from tests.helpers.app_in_browser import started

    with started() as running_browser:
        yield running_browser


@pytest.fixture(scope="module")
def expected(service):
    """Return a function that gives the ids of the hits of a search, from the service itself.

    The service gives the same answer to the page and to a test.
    """

    def asked(**fields):
        answer = []
        ask = service.search(Search(**{"limit": PAGE, **fields}))
        # Playwright's loop runs in the thread of the tests, so the service needs another thread.
        thread = threading.Thread(target=lambda: answer.append(asyncio.run(ask)))
        thread.start()
        thread.join()
        return [hit.image.id for hit in answer[0].hits]

    return asked


@pytest.fixture
def visit(browser, address):
    """Return a function that opens the page; it allows only loopback and no console errors.

    Results come by themselves on an `endless` page only: on the others, no test waits for what
    scrolling to a link brings with it.
    """
    from tests.helpers.app_in_browser import PATIENCE, STILL, Visit

    contexts, asked, complaints, allowed = [], [], [], []
    places = [address]

    def opened(path="/", may_complain="", at=address, endless=False, **options):
        places.append(at)
        options = {"viewport": {"width": 1200, "height": 900}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        allowed.append(may_complain)
        if not endless:
            context.add_init_script(STILL)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)

        def only_loopback(route):
            asked.append(route.request.url)
            if route.request.url.startswith(at + "/"):
                route.fallback()
            else:
                route.abort()

        context.route("**/*", only_loopback)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(at + path)
        return Visit(page)

    yield opened
    for context in contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith(tuple(f"{at}/" for at in places))] == []
    wanted = [pattern for pattern in allowed if pattern]
    assert [c for c in complaints if not any(re.search(p, c) for p in wanted)] == []
