"""Test results that come while a person scrolls, beside the pages, in a browser."""

import colorsys
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from cir.app.service import SearchService
from cir.datasets.sources import open_source
from tests.helpers.app_in_browser import RESULTS, expect
from tests.helpers.fake_search_model import FakeSearchModel, plain
from tests.helpers.search_app import filled_store, png

pytestmark = pytest.mark.recipes

IMAGES = 160  # six pages of 24 and one of 16


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "images").mkdir()
    for number in range(IMAGES):
        colour = colorsys.hsv_to_rgb(number / IMAGES, 1, 1 - number % 3 / 8)
        image = Image.new("RGB", (16, 16), tuple(round(255 * part) for part in colour))
        (folder / "images" / f"{number:03}.png").write_bytes(png(image))
    model, source = FakeSearchModel(), open_source(f"folder:{folder / 'images'}")
    with filled_store(folder / "store", source, model) as store:
        service = SearchService(model, store, source)
        yield service
        service.close()


# What was seen by an observer is told two frames later at the latest.
SEEN = """() => new Promise(done => requestAnimationFrame(
    () => requestAnimationFrame(() => setTimeout(done))))"""


def to_the_end(one):
    one.page.evaluate("scrollTo(0, document.body.scrollHeight)")


def grow(one, count):
    """Scroll to the last result until there are `count` of them."""
    to_the_end(one)
    expect(one.page.locator(RESULTS)).to_have_count(count)
    expect(one.page.locator(".range")).to_have_text(f"1 to {count}")


def more(one):
    return one.page.get_by_role("button", name="Show more")


def following(one):
    return one.page.get_by_role("link", name="Next")


def asked_by(one):
    """Return a list that gets the address of each search that the page asks for."""
    asked = []
    one.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    return asked


def searches(asked):
    return asked.count("/page/search")


def test_more_results_come_with_the_last_one_in_view(visit, expected):
    one = visit("/?q=red", endless=True)
    asked = asked_by(one)
    first = one.ids()
    assert first == expected(text="red")
    one.page.evaluate(SEEN)
    assert searches(asked) == 0
    grow(one, 48)
    assert one.ids() == expected(text="red", limit=48)
    expect(one.page.locator("#status")).to_have_text(re.compile("^Results 25 to 48, "))
    assert one.page.url.endswith("/?q=red")
    assert parse_qs(urlsplit(following(one).get_attribute("href")).query)["offset"] == ["48"]
    for count in (72, 96, 120):
        grow(one, count)
    to_the_end(one)
    one.page.evaluate(SEEN)
    assert searches(asked) == 4  # then the end of the page can be reached
    expect(one.page.locator("footer")).to_be_in_viewport()
    expect(one.page.locator(RESULTS)).to_have_count(120)
    more(one).click()
    expect(one.page.locator(RESULTS)).to_have_count(144)
    grow(one, IMAGES)
    assert one.ids() == expected(text="red", limit=IMAGES)
    expect(one.page.locator(".pages")).to_have_count(0)


def test_next_goes_on_after_what_is_on_show(visit, expected):
    one = visit("/?q=red&offset=24", endless=True)
    assert one.ids() == expected(text="red", offset=24)
    to_the_end(one)
    expect(one.page.locator(RESULTS)).to_have_count(48)
    expect(one.page.locator(".range")).to_have_text("25 to 72")
    back = one.page.get_by_role("link", name="Previous")
    assert "offset" not in parse_qs(urlsplit(back.get_attribute("href")).query)
    with one.answer():
        following(one).evaluate("link => link.click()")
    assert one.ids()[:24] == expected(text="red", offset=72)
    expect(one.page).to_have_url(re.compile("offset=72"))


def test_the_keyboard_reaches_the_end_of_the_page(visit, expected):
    one = visit("/?q=red", endless=True)
    asked = asked_by(one)
    one.page.locator(".picture").first.focus()
    for _ in range(9):
        one.page.keyboard.press("Tab")
        if more(one).evaluate("button => button === document.activeElement"):
            break
    expect(more(one)).to_be_focused()
    one.page.evaluate(SEEN)
    assert searches(asked) == 0
    one.page.keyboard.press("Tab")
    expect(following(one)).to_be_focused()
    one.page.keyboard.press("Tab")
    expect(one.page.get_by_role("button", name="Index the folder again")).to_be_focused()
    one.page.evaluate(SEEN)
    assert searches(asked) == 0
    more(one).focus()
    one.page.keyboard.press("Enter")
    new = one.page.locator(RESULTS).nth(24)
    expect(new.locator(".picture")).to_be_focused()
    assert one.ids()[:48] == expected(text="red", limit=48)
    one.page.keyboard.press("ArrowLeft")
    expect(one.page.locator(RESULTS).nth(23).locator(".picture")).to_be_focused()


def test_back_and_a_reload_return_to_the_place(visit, expected):
    one = visit("/?q=red", endless=True)
    grow(one, 48)
    grow(one, 72)
    found = one.ids()
    assert found == expected(text="red", limit=72)
    hit = one.page.locator(f'.hit[data-id="{found[40]}"]')
    hit.hover()
    with one.answer():
        hit.get_by_text("More like this").click()
    expect(one.rounds).to_have_count(2)
    one.page.go_back()
    expect(hit).to_be_in_viewport()
    assert one.ids()[:72] == found
    one.reload()
    expect(hit).to_be_in_viewport()
    assert one.ids()[:72] == found
    expect(one.rounds).to_have_count(2)
    one.page.go_forward()
    expect(hit).to_have_count(0)
    assert one.ids()[:24] == expected(image_id=found[40])


def test_what_came_later_can_be_selected_judged_and_opened(visit, expected):
    one = visit("/?q=red", endless=True)
    grow(one, 48)
    found = one.ids()
    hit = one.page.locator(f'.hit[data-id="{found[40]}"]')
    hit.hover()
    hit.locator(".pick input").check()
    expect(one.page.locator("#picked")).to_contain_text("1 selected")
    hit.locator(".picture").click()
    view = one.page.get_by_role("dialog")
    expect(view).to_contain_text("41 of ")
    one.page.keyboard.press("Escape")
    hit.hover()
    with one.answer():
        hit.get_by_role("link", name="Less like this").click()
    assert one.ids()[:24] == expected(text="red", unlike=(found[40],))
    expect(one.page.locator("#picked")).to_contain_text("1 selected")
    one.page.go_back()
    expect(hit.locator(".pick input")).to_be_checked()
    assert one.ids()[:48] == found


def test_more_results_of_an_uploaded_image(visit, expected):
    image = png(plain("green"))
    one = visit()
    one.choose(image)
    one.search("")
    one.box.fill("what is typed meanwhile does not count")
    more(one).click()
    expect(one.page.locator(RESULTS)).to_have_count(48)
    assert one.ids() == expected(image=image, limit=48)
    one.reload()
    expect(one.page.locator(RESULTS)).to_have_count(48)
    more(one).click()
    expect(one.page.locator(RESULTS)).to_have_count(72)
    assert one.ids() == expected(image=image, limit=72)


def test_a_failure_leaves_what_is_there(visit, expected):
    one = visit("/?q=red", endless=True, may_complain="status of 503|ERR_FAILED")
    answers = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503, json={"error": "the service is busy"}),
        lambda route: route.fallback(),
    ]
    one.page.route("**/page/search", lambda route: answers.pop(0)(route))
    to_the_end(one)
    alert = one.page.locator(".pages").get_by_role("alert")
    expect(alert).to_contain_text("The server does not answer. Is it still running?")
    assert one.ids() == expected(text="red")
    more(one).click()
    expect(alert).to_contain_text("the service is busy")
    more(one).click()
    expect(one.page.locator(RESULTS)).to_have_count(48)
    expect(alert).to_be_empty()
    assert answers == []


def test_a_new_search_ends_the_old_one(visit, expected):
    one = visit("/?q=red", endless=True)
    one.ids()
    held = []
    one.page.route("**/page/search", lambda route: route.fallback() if held else held.append(route))
    with one.page.expect_request("**/page/search"):
        to_the_end(one)
    one.box.fill("blue")
    with one.page.expect_event("requestfailed"):  # the first request is cancelled
        one.box.press("Enter")
    expect(one.page.locator(".summary h2")).to_contain_text("blue")
    assert one.ids() == expected(text="blue")
    one.page.go_back()
    assert one.ids() == expected(text="red")


def test_without_a_script_there_are_pages_only(visit, expected):
    one = visit("/?q=red", java_script_enabled=False)
    expect(one.page.locator("[data-action=show-more]")).to_be_hidden()
    following(one).click()
    assert one.ids() == expected(text="red", offset=24)
