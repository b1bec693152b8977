"""The report in a browser: it works offline, with a keyboard, on a phone and in the dark."""

import shutil

import pytest

from stages import report
from tests.helpers.report_project import NASTY, write_results, write_text_results

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if BROWSER is None:
    pytest.skip("no chromium on PATH to open the report with", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
PATIENCE = 10_000  # milliseconds


@pytest.fixture(scope="module")
def address(split, tmp_path_factory):
    """Where the report of the results made by hand lies."""
    folder = tmp_path_factory.mktemp("report")
    write_results(folder)
    write_text_results(folder)
    (folder / "data/retrieval").mkdir()
    (folder / "data/retrieval/test").symlink_to(split)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report.main()
    return (folder / "report/index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=BROWSER, args=OPTIONS, timeout=30_000)
        yield running
        running.close()


@pytest.fixture
def open_page(browser, address):
    """A function that opens the report; what it asks for and complains of must be nothing."""
    contexts, asked, complaints = [], [], []

    def opened(**options):
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if url != address and not url.startswith(("data:", "blob:"))] == []


def shown(page):
    """The queries on show, in order."""
    cards = page.locator(".card:visible")
    return cards.evaluate_all("cards => cards.map(card => card.dataset.query)")


def test_it_opens_and_escapes(open_page):
    page = open_page()
    assert page.title() == "Compositional image retrieval: 91.7% accuracy"
    assert page.locator("h2").first.inner_text() == "Results"
    assert page.locator("b").count() == 0
    sheet = page.get_by_role("img", name="A sheet of class-level queries")
    assert sheet.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [60, 40]
    sheet = page.get_by_role("img", name="A sheet of text queries")
    assert sheet.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [90, 30]
    assert page.locator("img").count() == 2
    page.locator(".filters").get_by_label("Search").fill("onerror")
    assert page.locator(".card:visible .sentence").text_content() == NASTY


def test_failures_come_first(open_page):
    page = open_page()
    assert shown(page)[:2] == ["q7", "q3"]
    outcomes = page.locator(".card .outcome").all_text_contents()
    assert outcomes == ["✗ rank 9", "✗ rank 4"] + ["✓ right"] * 22


def test_the_framed_answer_is_the_target(open_page):
    page = open_page()
    cards = page.locator(".card").evaluate_all(
        """cards => cards.map(card => [
            card.dataset.query,
            [...card.querySelectorAll(".answers li")].map(li => li.dataset.image),
            [...card.querySelectorAll("li.target")].map(li => li.dataset.image),
            card.querySelectorAll("li.beyond").length,
        ])"""
    )
    for query, answers, framed, beyond in cards:
        assert framed == ["target" + query[1:]]
        assert beyond == (query == "q7")
        assert len(answers) == 5 + beyond
    style = page.locator(".card:visible li.target .picture").first
    assert style.evaluate("picture => getComputedStyle(picture).outlineStyle") == "solid"
    assert "target, rank 9" in page.locator(".card:visible").first.inner_text()


def test_images_are_drawn(open_page):
    """The picture of a reference has more than the one colour of an empty box."""
    picture = open_page().locator(".card:visible .reference .picture").first
    box = picture.bounding_box()
    assert min(box["width"], box["height"]) > 60
    assert len(picture.screenshot()) > 1500


def test_filters_and_search(open_page):
    page = open_page()
    status = page.locator("#status")
    page.locator(".filters").get_by_label("Kind of edit").select_option("+2 -0")
    assert set(shown(page)) == {"q2", "q3", "q5"}
    assert status.inner_text() == "3 of 24 queries, 1 failed"
    page.locator(".filters").get_by_label("Names").select_option("novel")
    assert shown(page) == ["q3", "q5"]
    page.locator(".filters").get_by_label("Outcome").select_option("right")
    assert shown(page) == ["q5"]
    page.locator(".filters").get_by_label("Search").fill("nowhere to be found")
    assert shown(page) == []
    assert page.get_by_text("No query matches.").is_visible()
    page.get_by_role("button", name="Show all").click()
    playwright.expect(status).to_have_text("24 of 24 queries, 2 failed", timeout=PATIENCE)
    page.locator(".filters").get_by_label("Search").fill("CAR9 mug")
    assert shown(page) == ["q9"]


def test_pages_by_keyboard(open_page):
    page = open_page()
    first = shown(page)
    assert len(first) == 12
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(8):  # from the gallery's beginning through the filters
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "next":
            break
    assert page.evaluate("document.activeElement.id") == "next"
    page.keyboard.press("Enter")
    second = shown(page)
    assert len(second) == 12
    assert not set(first) & set(second)
    assert page.locator("#page").inner_text() == "Page 2 of 2"
    assert page.evaluate("document.activeElement.id") == "cards"
    assert page.locator("#next").is_disabled()
    page.locator("#previous").press("Space")
    assert shown(page) == first


def test_on_a_phone_nothing_is_cut_off(open_page):
    page = open_page()
    for width in (320, 390, 700, 1000):
        page.set_viewport_size({"width": width, "height": 844})
        page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        spilt = page.locator("section").evaluate_all(
            """sections => sections.flatMap(section => {
                const edge = Math.min(innerWidth, section.getBoundingClientRect().right);
                return [...section.querySelectorAll("*")].filter(element =>
                    !element.closest(".scroll > *") && !element.closest("svg > *") &&
                    element.getBoundingClientRect().right > edge + 1
                ).map(element => element.outerHTML.slice(0, 80));
            })"""
        )
        assert spilt == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_text_can_be_read_in_light_and_dark(open_page):
    """The contrast of ink and marks with what is behind them, by the web's guidelines."""
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        behind = luminance(colour(page, "#gallery", "backgroundColor"))
        assert (behind > 0.5) is (scheme == "light")
        for selector in (
            "#gallery h2",
            "ins",
            "del",
            ".wrong .outcome",
            ".right .outcome",
            ".status",
        ):
            text = luminance(colour(page, selector, "color"))
            ratio = (max(text, behind) + 0.05) / (min(text, behind) + 0.05)
            assert ratio >= 4.5, (scheme, selector, ratio)
        label = page.locator("figure svg text").first
        assert label.evaluate("text => getComputedStyle(text).fill") == colour(
            page, "body", "color"
        )


def colour(page, selector, name):
    return page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{name}")


def luminance(colour):
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_without_javascript_all_but_the_filters_is_there(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator(".card").count() == 24
    assert page.locator(".card").last.is_visible()
    assert not page.locator(".filters").is_visible()
    assert not page.locator(".pages").is_visible()
    assert page.get_by_text("Filters, search and pages need JavaScript").is_visible()


def test_it_prints(open_page):
    page = open_page()
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible()
    assert page.locator(".card").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_a_filter_goes_back_to_the_first_page(open_page):
    page = open_page()
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Outcome").select_option("right")
    assert page.locator("#page").inner_text() == "Page 1 of 2"
    assert len(shown(page)) == 12
