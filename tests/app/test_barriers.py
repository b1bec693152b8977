"""Look for barriers to people who hear or type the page, by axe-core, in every state of it."""

import sys
from pathlib import Path

import pytest

from cir.app.calibration import calibrate
from tests.helpers.app_in_browser import RESULTS, expect
from tests.helpers.page_gallery import gallery_service
from tests.helpers.search_app import running

pytestmark = pytest.mark.recipes

AXE = Path(sys.prefix) / "axe-core" / "axe.min.js"
if not AXE.exists():
    pytest.skip(f"axe-core is not in {AXE.parent}: make browsers", allow_module_level=True)
SCRIPT = AXE.read_text(encoding="utf-8")

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SCREENS = {"light": {"color_scheme": "light"}, "phone, dark": {"color_scheme": "dark", **PHONE}}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with gallery_service(tmp_path_factory.mktemp("gallery")) as service:
        calibrate(service.model, service.store)  # so that results are good, fair or unlikely
        yield service


def barriers(one):
    """Return what axe finds wrong on the page as it is, of any impact."""
    one.page.evaluate(SCRIPT)  # from outside, because the page itself lets no foreign script in
    found = one.page.evaluate("axe.run(document, { resultTypes: ['violations'], preload: false })")
    assert len(found["passes"]) > 15
    return [
        (rule["impact"], rule["id"], node["html"][:120], node["failureSummary"])
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def addresses(start):
    """Return an address of each state that has one, and what is on the page then."""
    composed = f"/?image_id={start}"
    return {
        "/": ".starters .picture",
        "/?q=red": RESULTS,
        "/?q=red+and+blue&offset=24": ".pages",
        "/?q=qwzx": ".unfit",
        f"{composed}&q=add+blue+remove+red": ".chip.remove",
        f"{composed}&q=hm": ".notice",
        f"{composed}&like={start}&unlike={start}&q=red": ".mark.unlike",
        "/?q=" + "+".join(["red"] * 25): ".notice",
        "/?folder=red&sort=name": RESULTS,
        "/?q=red+and+blue&least_score=1": ".state",
        "/?q=a&least_kb=x": ".failure",
    }


def show(one, shown):
    """Wait for what an address shows, and open all that can be opened."""
    expect(one.page.locator(shown).first).to_be_visible()
    one.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")


@pytest.mark.parametrize("screen", SCREENS)
def test_no_barriers_at_any_address(visit, address, image_ids, screen):
    one = visit(may_complain="status of 400|cannot be parsed", **SCREENS[screen])
    for path, shown in addresses(image_ids["red"]).items():
        one.page.goto(address + path)
        show(one, shown)
        assert barriers(one) == [], path


@pytest.mark.parametrize("screen", SCREENS)
def test_no_barriers_on_the_way(visit, image_ids, screen):
    """Rounds, a selection, the large view, the choice of a part, more results."""
    one = visit(f"/?image_id={image_ids['red']}&q=add+blue", **SCREENS[screen])
    one.search("add blue remove red")
    one.page.go_back()
    expect(one.box).to_have_value("add blue")
    one.search("add green")
    expect(one.page.locator("#rounds .branch")).to_be_visible()
    one.page.get_by_role("button", name="Show more").click()
    expect(one.page.locator(RESULTS)).to_have_count(48)
    hit = one.page.locator(RESULTS).nth(2)
    hit.hover()
    hit.locator(".pick input").check()
    expect(one.page.locator("#picked")).to_be_visible()
    assert barriers(one) == [], "rounds and a selection"
    hit.locator(".picture").click()
    expect(one.page.get_by_role("dialog")).to_be_visible()
    assert barriers(one) == [], "the large view"
    one.page.keyboard.press("Escape")
    one.page.get_by_role("button", name="Choose the part").click()
    expect(one.page.locator("#crop-area")).to_be_focused()
    assert barriers(one) == [], "the choice of a part"


def test_no_barriers_without_any_image(visit, tmp_path):
    with gallery_service(tmp_path, empty=True) as service, running(service) as address:
        for scheme in ("light", "dark"):
            one = visit(at=address, color_scheme=scheme)
            show(one, ".state")
            assert barriers(one) == [], scheme
