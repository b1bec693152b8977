"""Test the page in a browser: all that a person does with mouse, keyboard and touch."""

import base64
import json
import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from cir.app.settings import Settings
from cir.core.errors import UserError
from tests.helpers.app_in_browser import PATIENCE, RESULTS, expect
from tests.helpers.fake_search_model import plain
from tests.helpers.page_gallery import NASTY, PAGE, gallery_service, picture
from tests.helpers.search_app import ids, png, running

pytestmark = pytest.mark.recipes


def test_words(visit, expected):
    one = visit()
    expect(one.page).to_have_title("image search")
    expect(one.box).to_be_focused()
    one.search("red and blue")
    assert one.ids() == expected(text="red and blue")
    assert parse_qs(urlsplit(one.page.url).query) == {"q": ["red and blue"]}
    expect(one.page).to_have_title("red and blue: image search")
    assert re.fullmatch(
        r"Results 1 to 24, best score 0\.\d\d, of 51 images searched\.", one.status()
    )
    cost = one.page.locator(".cost")
    expect(cost).to_contain_text(re.compile(r"51 images searched in [\d.]+ ms"))
    expect(cost).to_contain_text(re.compile(r"encoding [\d.]+ ms, search [\d.]+ ms"))
    one.reload()
    assert one.ids() == expected(text="red and blue")
    expect(one.box).to_have_value("red and blue")
    thumbnail = one.page.locator(".hit img").first
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 32


def test_examples_and_images_to_start_from(visit):
    one = visit()
    example = one.page.locator(".examples a").first
    text = example.get_attribute("data-text")
    with one.answer():
        example.click()
    expect(one.box).to_have_value(text)
    assert len(one.ids()) == PAGE
    one.page.go_back()
    one.page.locator(".starters .picture").first.click()
    expect(one.page.locator("#preview img")).to_be_visible()
    expect(one.box).to_be_focused()
    assert one.box.get_attribute("placeholder") == "what should be different?"


def test_nothing_in_a_name_or_a_query_is_html(visit):
    query = f'orange {NASTY} "><script>document.title=2</script>'
    one = visit(f"/?q={quote(query)}")
    assert one.ids()
    expect(one.page).to_have_title(f"{query}: image search")
    one.search("orange")
    hit = one.page.locator(f'.hit[data-name="{css(NASTY)}.png"]')
    hit.locator(".picture").click()
    expect(one.page.locator("#view-title")).to_have_text(f"{NASTY}.png")
    one.page.keyboard.press("Escape")
    one.start_from(hit.get_attribute("data-id"))
    one.box.fill("add blue")
    expect(one.chips).to_have_count(1)
    one.chips.locator(".word").click()
    one.page.keyboard.type(NASTY)
    one.page.keyboard.press("Enter")
    assert one.words() == [["add", NASTY]]
    with one.answer():
        one.page.locator(".go").click()
    assert one.words() == [["add", NASTY]]
    expect(one.rounds).to_have_count(3)
    assert one.page.locator("#rounds ins").inner_text() == NASTY
    assert one.page.locator("img[src=x]").count() == 0
    assert one.page.title() == "add blue: image search"


def css(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def test_choose_an_image(visit, expected):
    image = png(picture("red", "green", (300, 200)))
    one = visit()
    expect(one.page.locator("#composition")).to_be_hidden()
    expect(one.page.locator("#image-weight")).to_be_disabled()
    one.choose(image)
    preview = one.page.get_by_role("img", name="The image to start from: chosen.png")
    expect(preview).to_be_visible()
    assert colours(preview) == [[255, 0, 0], [0, 255, 0]]
    expect(one.box).to_be_focused()
    with one.answer():
        one.page.keyboard.press("Enter")
    assert one.ids() == expected(image=image)
    assert urlsplit(one.page.url).query == ""
    one.page.get_by_role("button", name="Remove the image").click()
    expect(preview).to_be_hidden()
    expect(one.page.locator("#image-weight")).to_be_disabled()
    one.search("blue")
    assert one.ids() == expected(text="blue")


def colours(canvas):
    """Return the colours in the centres of the upper and the lower half."""
    return canvas.evaluate(
        """canvas => {
            const {width, height} = canvas;
            const {data} = canvas.getContext("2d").getImageData(width / 2, 0, 1, height);
            return [0.25, 0.75].map(share => Math.floor(share * height) * 4)
                .map(place => [...data.slice(place, place + 3)]);
        }"""
    )


# Sends the events that a browser sends when a user drops or pastes a file.
GIVE = """({type, where, data, name, kind, size, text}) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    if (text) transfer.setData("text/plain", text);
    transfer.items.add(new File([bytes, new Uint8Array(size)], name, {type: kind}));
    const options = {bubbles: true, cancelable: true};
    const event = type === "paste"
        ? new ClipboardEvent(type, {...options, clipboardData: transfer})
        : new DragEvent(type, {...options, dataTransfer: transfer});
    return !document.querySelector(where).dispatchEvent(event);
}"""


def give(one, kind, image, where="main", name="given.png", size=0, text=""):
    """Send an event with a file that ends in `size` zeros; return whether the page took it."""
    data = base64.b64encode(image).decode()
    sent = {"type": kind, "where": where, "data": data, "name": name, "kind": "image/png"}
    return one.page.evaluate(GIVE, {**sent, "size": size, "text": text})


def test_drop_an_image_and_say_what_to_change(visit, expected):
    image = png(picture("blue", "red"))
    one = visit()
    overlay = one.page.locator("#drop")
    assert give(one, "dragenter", image)
    expect(overlay).to_be_visible()
    give(one, "dragenter", image, "#search")
    give(one, "dragleave", image)
    expect(overlay).to_be_visible()
    give(one, "dragleave", image, "#search")
    expect(overlay).to_be_hidden()
    assert give(one, "dragenter", image)
    assert give(one, "dragover", image)
    assert give(one, "drop", image)
    expect(overlay).to_be_hidden()
    assert colours(one.page.locator("#preview canvas")) == [[0, 0, 255], [255, 0, 0]]
    one.search("add yellow and remove the red")
    assert one.ids() == expected(image=image, text="add yellow and remove the red")
    assert one.words() == [["add", "yellow"], ["remove", "red"]]
    expect(one.page.locator(".reading")).to_have_text("Read as: add yellow and remove the red")
    assert one.page.locator(".reading ins").all_inner_texts() == ["yellow"]
    assert one.page.locator(".reading del").all_inner_texts() == ["red"]


def test_paste_an_image(visit, expected):
    image = png(plain("cyan"))
    one = visit("/?q=red")
    assert give(one, "paste", image, "#q")
    expect(one.page.locator("#preview canvas")).to_be_visible()
    one.search("")
    assert one.ids() == expected(image=image)


def test_pasted_text_may_come_with_a_picture(visit):
    """A word processor pastes text with a picture; a file manager pastes files with names."""
    one = visit()
    one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
            const item = {"text/plain": new Blob(["a blue car"], {type: "text/plain"}),
                "image/png": new Blob([bytes], {type: "image/png"})};
            return navigator.clipboard.write([new ClipboardItem(item)]);
        }""",
        base64.b64encode(png(plain("blue"))).decode(),
    )
    one.box.press("Control+v")
    expect(one.box).to_have_value("a blue car")
    expect(one.page.locator("#reference")).to_be_hidden()
    image = png(plain("red"))
    assert not give(one, "paste", image, "#q", "image.png", text="two lines\nof a document")
    expect(one.page.locator("#reference")).to_be_hidden()
    assert give(one, "paste", image, "#q", "a b.png", text="/home/somebody/a b.png")
    expect(one.page.get_by_role("img", name="to start from: a b.png")).to_be_visible()
    one.page.get_by_role("button", name="Remove the image").click()
    assert give(one, "paste", image, "#results", "image.png", text="no field to paste this into")
    expect(one.page.get_by_role("img", name="to start from: image.png")).to_be_visible()


def test_drag_a_result_into_the_box(visit, expected):
    one = visit("/?q=red")
    first = one.page.locator(RESULTS).first
    chosen = first.get_attribute("data-id")
    first.locator(".picture").drag_to(one.box)
    expect(one.page.locator("#preview img")).to_be_visible()
    one.search("add green")
    assert one.ids() == expected(image_id=chosen, text="add green")


def test_several_images_in_the_box(visit, expected, image_ids):
    first, second = png(plain("red")), png(plain("blue"))
    one = visit()
    one.choose(first, "first.png")
    one.choose(second, "second.png")
    expect(one.page.locator("#marks .mark.others canvas")).to_be_visible()
    one.search("")
    assert one.ids() == expected(image=first, more_images=(second,))
    expect(one.page.locator("#rounds button")).to_have_text(["like this one and 1 more"])
    one.page.locator("#marks").get_by_role("button", name="Remove this image").click()
    one.search("")
    assert one.ids() == expected(image=first)
    one.rounds.nth(0).click()
    expect(one.page.locator("#marks .mark")).to_have_count(1)
    one.page.get_by_role("button", name="Remove the image").click()
    expect(one.page.locator("#marks .mark")).to_have_count(0)
    one.search("")
    assert one.ids() == expected(image=second)


def test_less_like_this(visit, expected):
    one = visit("/?q=red")
    start = one.ids()
    unwanted = one.page.locator(f'.hit[data-id="{start[0]}"]')
    unwanted.hover()
    with one.answer():
        unwanted.get_by_role("link", name="Less like this").click()
    expect(one.page.locator("#marks .mark.unlike img")).to_be_visible()
    assert one.ids() == expected(text="red", unlike=(start[0],))
    assert parse_qs(urlsplit(one.page.url).query)["unlike"] == [start[0]]
    expect(one.rounds.nth(1)).to_contain_text("−1")
    one.reload()
    expect(one.page.locator("#marks .mark.unlike img")).to_be_visible()
    assert one.ids() == expected(text="red", unlike=(start[0],))
    one.page.go_back()
    assert one.ids() == start
    expect(one.page.locator("#marks .mark")).to_have_count(0)


def test_also_like_this_in_the_large_view(visit, expected):
    one = visit("/?q=green")
    start = one.ids()
    one.page.locator(RESULTS).nth(2).locator(".picture").click()
    with one.answer():
        one.page.get_by_role("button", name="Also like this").click()
    expect(one.page.locator("#view")).to_be_hidden()
    assert one.ids() == expected(text="green", like=(start[2],))
    one.page.get_by_role("button", name="Undo").click()
    assert one.ids() == start


def choose_the_part(one):
    one.page.get_by_role("button", name="Choose the part").click()
    expect(one.page.locator("#crop-area")).to_be_focused()  # once the image is there


def drag_a_box(one, left, top, right, bottom):
    choose_the_part(one)
    area = one.page.locator("#crop-image").bounding_box()

    def point(x, y):
        return area["x"] + x * area["width"], area["y"] + y * area["height"]

    one.page.mouse.move(*point(left, top))
    one.page.mouse.down()
    one.page.mouse.move(*point(right, bottom), steps=3)
    one.page.mouse.up()


def test_a_part_of_an_uploaded_image(visit, image_ids):
    one = visit()
    one.choose(png(picture("red", "blue", (200, 200))), "both.png")
    drag_a_box(one, 0.1, 0.6, 0.9, 0.95)
    one.page.get_by_role("button", name="Use this part").click()
    expect(one.page.get_by_role("button", name="Choose the part")).to_be_focused()
    one.search("")
    assert one.ids()[0] == image_ids["blue"]
    one.page.get_by_role("button", name="Choose the part").click()
    with one.answer():
        one.page.get_by_role("button", name="Use the whole image").click()
    assert one.ids()[0] == image_ids["red over blue"]


def test_a_part_of_an_indexed_image(visit, image_ids):
    one = visit(f"/?image_id={image_ids['red over blue']}")
    drag_a_box(one, 0, 0, 1, 0.45)
    with one.answer():
        one.page.get_by_role("button", name="Use this part").click()
    assert one.ids()[0] == image_ids["red"]
    box = parse_qs(urlsplit(one.page.url).query)["box"][0]
    assert [float(share) for share in box.split(",")] == pytest.approx([0, 0, 1, 0.45], abs=0.05)
    one.reload()
    assert one.ids()[0] == image_ids["red"]
    choose_the_part(one)
    for _ in range(30):
        one.page.keyboard.press("ArrowDown")  # the box stops at the end of the image
    with one.answer():
        one.page.get_by_role("button", name="Use this part").click()
    assert one.ids()[0] == image_ids["blue"]


def test_files_that_are_no_images(visit):
    one = visit(may_complain="status of 422")
    complaint = one.page.get_by_role("alert")
    one.choose(b"<svg/>", "drawing.svg", "image/svg+xml")
    expect(complaint).to_contain_text("drawing.svg cannot be used")
    one.choose(b"%PDF", "paper.pdf", "application/pdf")
    expect(complaint).to_contain_text("paper.pdf cannot be used")
    give(one, "drop", b"", name="large.png", size=20_000_001)
    expect(complaint).to_have_text("large.png has 20.0 MB, but this server takes at most 20 MB.")
    expect(one.page.locator("#reference")).to_be_hidden()
    one.choose(png(plain("red"))[:60], "broken.png")
    expect(complaint).to_have_count(0)
    one.search("")
    expect(complaint).to_contain_text("The image you sent cannot be")
    expect(complaint.get_by_role("button", name="Try again")).to_be_visible()


def test_chips(visit, expected, image_ids):
    start = image_ids["red over blue"]
    one = visit(f"/?image_id={start}")
    one.box.press_sequentially("add green and cyan, remove the red")
    expect(one.chips).to_have_count(3)  # before the first search
    assert one.words() == [["add", "green"], ["add", "cyan"], ["remove", "red"]]
    signs = one.chips.locator(".flip").all_inner_texts()
    assert signs == ["+", "+", "−"]  # colour is not the only sign
    lines = one.chips.locator(".word").evaluate_all(
        "all => all.map(one => getComputedStyle(one).textDecorationLine)"
    )
    assert lines == ["underline", "underline", "line-through"]
    one.page.get_by_role("button", name="cyan is added: remove it instead").click()
    expect(one.page.get_by_role("button", name="cyan is removed: add it instead")).to_be_focused()
    expect(one.page.locator("#pending")).to_be_visible()
    one.page.get_by_role("button", name="Edit green").click()
    one.page.get_by_label("What to add").fill("  yellow ")
    one.page.keyboard.press("Enter")
    one.page.get_by_role("button", name="Delete red").click()
    one.page.get_by_role("button", name="+ Add something").click()
    one.page.keyboard.type("white")
    one.page.keyboard.press("Enter")
    one.page.get_by_role("button", name="− Remove something").click()
    one.page.keyboard.type("blue")
    with one.answer():
        one.page.locator(".go").click()
    chips = [["add", "yellow"], ["remove", "cyan"], ["add", "white"], ["remove", "blue"]]
    assert sorted(one.words()) == sorted(chips)
    expect(one.page.locator("#pending")).to_be_hidden()
    by_hand = {"add": ("yellow", "white"), "remove": ("cyan", "blue")}
    assert one.ids() == expected(image_id=start, **by_hand)
    assert set(parse_qs(urlsplit(one.page.url).query)) == {
        "image_id",
        "q",
        "edited",
        "add",
        "remove",
    }
    one.reload()
    assert sorted(one.words()) == sorted(chips)
    assert one.ids() == expected(image_id=start, **by_hand)
    with one.answer():
        one.box.press("Enter")  # the sentence is the same, so the chips stay
    assert sorted(one.words()) == sorted(chips)
    one.box.press("End")
    one.box.press_sequentially(", add magenta")  # the sentence is new, so it is tagged again
    expect(one.chips).to_have_count(4)
    expect(one.chips.nth(2)).to_contain_text("magenta")


def test_a_chip_that_is_not_sure_loses_its_mark_by_hand(visit, image_ids):
    one = visit(f"/?image_id={image_ids['red']}")
    doubts = one.page.get_by_role("img", name="not sure", exact=True)
    remarks = one.page.locator("#remarks")
    one.box.press_sequentially("add perhaps blue and green, remove perhaps blue")
    expect(one.chips).to_have_count(3)
    expect(doubts).to_have_count(2)
    why = "Not sure: the tagger's confidence in this reading is 40%"
    expect(one.chips.nth(0).locator(".doubt")).to_have_attribute("title", why)
    expect(one.page.get_by_role("button", name="Edit blue").first).to_have_attribute("title", why)
    styles = one.chips.evaluate_all("all => all.map(one => getComputedStyle(one).borderStyle)")
    assert styles == ["dashed", "solid", "dashed"]
    assert doubts.all_inner_texts() == ["?", "?"]  # colour is not the only sign
    odd = "About the sentence: it both adds and removes 'blue'."
    expect(remarks).to_have_text(odd)
    expect(remarks).to_have_attribute("aria-live", "polite")
    remarks.evaluate("one => { one.mine = true; }")
    with one.answer():
        one.box.press("Enter")
    expect(doubts).to_have_count(2)
    one.page.get_by_role("button", name="Edit blue").first.press("Enter")
    one.page.keyboard.press("Escape")  # nothing was changed
    expect(doubts).to_have_count(2)
    expect(remarks).to_have_text(odd)
    one.page.get_by_role("button", name="Edit blue").first.press("Enter")
    one.page.keyboard.type("white")
    one.page.keyboard.press("Enter")
    expect(one.chips.nth(0)).to_contain_text("white")
    expect(one.chips.nth(0).locator(".doubt")).to_be_hidden()
    expect(doubts).to_have_count(1)
    expect(remarks).to_have_text("")
    one.page.get_by_role("button", name="blue is removed: add it instead").click()
    expect(doubts).to_have_count(0)
    with one.answer():
        one.box.press("Enter")
    expect(doubts).to_have_count(0)
    one.page.get_by_role("button", name="Undo").click()  # the reading of the tagger is back
    expect(doubts).to_have_count(2)
    expect(remarks).to_have_text(odd)
    assert remarks.evaluate("one => one.mine")  # a live region has to stay to be announced
    one.page.get_by_role("button", name="Remove the image").click()
    expect(remarks).to_have_text("")


def test_editing_a_chip_can_be_given_up(visit, image_ids):
    one = visit(f"/?image_id={image_ids['red']}&q=add+blue+remove+red")
    one.page.get_by_role("button", name="Edit blue").press("Enter")
    one.page.keyboard.type("green")
    one.page.keyboard.press("Escape")
    assert one.words() == [["add", "blue"], ["remove", "red"]]
    expect(one.page.locator("#pending")).to_be_hidden()
    one.page.get_by_role("button", name="+ Add something").click()
    one.page.keyboard.press("Escape")
    expect(one.chips).to_have_count(2)
    one.page.get_by_role("button", name="Edit blue").press("Delete")
    assert one.words() == [["remove", "red"]]
    expect(one.page.get_by_role("button", name="Edit red")).to_be_focused()
    one.page.get_by_role("button", name="Read the sentence again").click()
    expect(one.chips).to_have_count(2)
    assert one.words() == [["add", "blue"], ["remove", "red"]]


def test_an_untagged_sentence_invites_to_add_a_chip(visit, expected, image_ids):
    start = image_ids["red"]
    one = visit(f"/?image_id={start}")
    one.search("make it nicer")
    assert one.ids() == expected(image_id=start)
    notice = one.page.locator(".notice")
    expect(notice).to_contain_text("The sentence names nothing to add or to remove")
    notice.get_by_role("button", name="+ Add something").click()
    one.page.keyboard.type("blue")
    one.page.keyboard.press("Enter")
    with one.answer():
        one.page.locator(".go").click()
    expect(notice).to_have_count(0)
    assert one.ids() == expected(image_id=start, text="x", add=("blue",))


def test_what_is_changed_while_a_search_runs_stays(visit, expected, image_ids):
    start = image_ids["red"]
    one = visit(f"/?image_id={start}&q=add+blue+remove+red")
    held = []
    one.page.route("**/page/search", lambda route: held.append(route))
    one.box.press("Enter")
    expect(one.page.locator("#results .skeleton .frame")).to_have_count(12)
    one.page.get_by_role("button", name="blue is added: remove it instead").click()
    with one.answer():
        held[0].fallback()
    one.page.unroute("**/page/search")
    assert one.ids() == expected(image_id=start, text="add blue remove red")
    assert one.words() == [["remove", "blue"], ["remove", "red"]]
    expect(one.page.locator("#pending")).to_be_visible()
    with one.answer():
        one.box.press("Enter")
    assert one.ids() == expected(image_id=start, text="x", remove=("blue", "red"))
    expect(one.page.locator("#pending")).to_be_hidden()


def test_how_much_the_image_counts(visit, expected, image_ids):
    start = image_ids["red over blue"]
    one = visit(f"/?image_id={start}&q=add+green")
    slider = one.page.get_by_label("Weight of the image")
    expect(slider).to_be_enabled()
    expect(one.page.locator("#weight-shown")).to_have_text("×1")
    for weight in ("0", "2"):
        with one.answer():
            slider.fill(weight)
        expect(one.page.locator("#weight-shown")).to_have_text(f"×{weight}")
        wanted = expected(image_id=start, text="add green", image_weight=float(weight))
        assert one.ids() == wanted
        assert parse_qs(urlsplit(one.page.url).query)["image_weight"] == [weight]
    expect(one.page.locator("#history")).to_be_hidden()  # there is still one round


def test_refining_over_rounds(visit, expected):
    one = visit()
    one.search("red")
    first = one.ids()
    expect(one.page.locator("#history")).to_be_hidden()
    start = first[1]
    one.start_from(start)
    expect(one.box).to_be_focused()
    one.search("add blue")
    second = one.ids()
    assert second == expected(image_id=start, text="add blue")
    one.start_from(second[0])
    one.search("remove red add white")
    third = one.ids()
    assert third == expected(image_id=second[0], text="remove red add white")
    expect(one.rounds).to_have_count(3)
    texts = [" ".join(text.split()) for text in one.rounds.all_inner_texts()]
    assert texts == ["red", "blue", "white red"]
    assert one.rounds.locator("img").count() == 2
    expect(one.rounds.nth(2)).to_have_attribute("aria-current", "step")

    undo = one.page.get_by_role("button", name="Undo")
    undo.click()
    assert one.ids() == second
    expect(one.box).to_have_value("add blue")
    assert one.words() == [["add", "blue"]]
    assert parse_qs(urlsplit(one.page.url).query)["image_id"] == [start]
    one.rounds.nth(0).click()
    assert one.ids() == first
    expect(one.page.locator("#reference")).to_be_hidden()
    expect(undo).to_be_disabled()
    one.rounds.nth(2).click()
    assert one.ids() == third
    assert one.words() == [["add", "white"], ["remove", "red"]]
    one.page.go_back()
    expect(one.rounds.nth(0)).to_have_attribute("aria-current", "step")
    assert one.ids() == first
    one.page.go_forward()
    expect(one.rounds.nth(2)).to_have_attribute("aria-current", "step")
    assert one.ids() == third

    undo.click()
    one.search("add green")  # a second branch after round two keeps all rounds
    expect(one.rounds).to_have_count(4)
    undo.click()
    assert one.ids() == second


def test_back_goes_one_step_back_from_a_page_and_from_a_filter(visit):
    one = visit("/?q=red")
    first = one.ids()
    with one.answer():
        one.page.get_by_role("link", name="Next").click()
    second = one.ids()
    assert not set(first) & set(second)
    with one.answer():
        one.page.get_by_label("Least score").fill("0.1")
    one.page.go_back()
    expect(one.page.get_by_label("Least score")).to_have_value("0")
    assert one.ids() == second
    one.page.go_back()
    assert one.ids() == first
    expect(one.rounds).to_have_count(1)
    one.page.go_forward()
    assert one.ids() == second


SENT = """["resource", "navigation"].flatMap(kind => performance.getEntriesByType(kind))
    .filter(one => !one.name.includes("/thumbnails/") && one.transferSize > 0)
    .map(one => [one.name, one.transferSize])"""


def test_a_second_visit_asks_for_little(browser, address):
    context = browser.new_context()  # not from `visit`, whose watching of requests takes no cache
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    asked = []
    for text in ("red", "blue"):
        page.goto(f"{address}/?q={text}")
        page.wait_for_selector(RESULTS)
        asked.append(page.evaluate(SENT))
    page.fill("#q", "green")
    with page.expect_response("**/page/search"):
        page.keyboard.press("Enter")
    expect(page.locator(".summary h2")).to_contain_text("green")
    asked.append([one for one in page.evaluate(SENT) if one not in asked[1]])
    context.close()
    first, second, third = ([name.removeprefix(address) for name, _ in one] for one in asked)
    assert len(first) <= 4, first  # the page, its style, its script and its icon
    assert (second, third) == (["/?q=blue"], ["/page/search"])
    assert max(sum(size for _, size in one) for one in asked[1:]) <= 30_000


def test_try_again_keeps_the_focus(visit, service, monkeypatch):
    one = visit(may_complain="status of 503")

    def failing(*arguments):
        raise UserError("the store is on fire")

    monkeypatch.setattr(service.store, "search", failing)
    one.search("red")
    again = one.page.get_by_role("button", name="Try again")
    with one.answer():
        again.click()
    expect(again).to_be_focused()
    monkeypatch.undo()
    with one.answer():
        again.click()
    expect(one.page.locator("#results")).to_be_focused()
    assert one.ids()


def test_back_to_the_start_and_on_again(visit, expected):
    one = visit()
    starters = "#results .starters .hit"
    began = one.page.locator(starters).evaluate_all("all => all.map(one => one.dataset.id)")
    one.search("red")
    first = one.ids()
    one.start_from(first[0])
    one.search("add blue")
    with one.answer():
        one.page.get_by_label("Least score").fill("0.1")
    one.page.go_back()
    expect(one.page.get_by_label("Least score")).to_have_value("0")
    one.page.go_back()
    assert one.ids() == first
    one.page.go_back()
    expect(one.page.locator("#results")).to_have_attribute("data-state", "start")
    again = one.page.locator(starters).evaluate_all("all => all.map(one => one.dataset.id)")
    assert again == began  # the page was not loaded again
    expect(one.box).to_have_value("")
    expect(one.page.locator("#reference")).to_be_hidden()
    expect(one.page.get_by_label("Least score")).to_have_value("0")
    expect(one.page).to_have_title("image search")
    expect(one.rounds).to_have_count(2)
    expect(one.page.locator("#rounds [aria-current]")).to_have_count(0)
    one.page.go_forward()
    assert one.ids() == first
    expect(one.page).to_have_title("red: image search")
    one.page.go_back()
    one.search("green")
    assert one.ids() == expected(text="green")
    expect(one.rounds).to_have_count(3)
    one.rounds.nth(1).click()
    assert one.words() == [["add", "blue"]]


def test_a_reload_keeps_rounds_and_uploads(visit, expected):
    image = png(picture("white", "red"))
    one = visit()
    one.choose(image)
    one.search("add blue")
    one.search("add green")
    one.rounds.nth(0).click()
    one.search("add yellow")
    # The third round comes from the first one, not from the second beside it.
    assert one.page.locator("#rounds li.branch").all_inner_texts() == ["from 1\nyellow"]
    found = one.ids()
    one.reload()
    expect(one.rounds).to_have_count(3)
    assert one.ids() == found == expected(image=image, text="add yellow")
    expect(one.box).to_have_value("add yellow")
    assert one.words() == [["add", "yellow"]]
    assert colours(one.page.locator("#preview canvas")) == [[255, 255, 255], [255, 0, 0]]
    expect(one.page.locator("#rounds li.branch .from")).to_have_text("from 1")
    one.page.locator("#undo").click()
    assert one.ids() == expected(image=image, text="add blue")
    one.page.go_back()
    assert one.ids() == found
    one.search("add cyan")  # the image is still there to be sent
    assert one.ids() == expected(image=image, text="add cyan")
    expect(one.rounds).to_have_count(4)


def test_back_past_a_reload(visit, expected):
    one = visit("/?q=red")
    one.search("green")
    one.reload()
    expect(one.rounds).to_have_count(2)
    one.page.go_back()
    expect(one.box).to_have_value("red")
    assert one.ids() == expected(text="red")


@pytest.mark.parametrize("last", ["green", "an upload"])
def test_a_reload_before_the_last_round_is_kept(visit, expected, last):
    one = visit()
    for text in ("red", "blue"):
        one.search(text)
    one.wait_until_kept()
    one.page.evaluate("() => { IDBObjectStore.prototype.put = () => { throw new Error(); }; }")
    if last == "an upload":
        one.choose(png(picture("white", "red")))
        one.search("add green")
    else:
        one.search(last)
    one.page.reload()
    if last == "an upload":  # whose file is gone with the page
        expect(one.rounds).to_have_count(2)
        expect(one.box).to_have_value("blue")
    else:
        expect(one.rounds).to_have_count(3)
        assert one.ids() == expected(text=last)
        one.page.locator("#undo").click()
    assert one.ids() == expected(text="blue")


def test_rounds_remember_an_upload_and_edited_chips(visit, expected):
    image = png(picture("white", "red"))
    one = visit()
    one.choose(image)
    one.search("add blue")
    one.page.get_by_role("button", name="blue is added: remove it instead").click()
    with one.answer():
        one.page.locator(".go").click()
    changed = one.ids()
    assert changed == expected(image=image, text="x", remove=("blue",))
    assert one.rounds.locator("canvas").count() == 2
    one.page.get_by_role("button", name="Remove the image").click()
    one.search("green")
    one.rounds.nth(1).click()
    assert one.ids() == changed
    assert one.words() == [["remove", "blue"]]
    with one.answer():
        one.box.press("Enter")
    assert one.ids() == changed
    expect(one.rounds).to_have_count(3)


def test_without_a_tagger_chips_are_given_by_hand(visit, tmp_path, expected, image_ids):
    with gallery_service(tmp_path, has_tagger=False) as bare, running(bare) as address:
        one = visit(f"/?image_id={image_ids['red']}", at=address, may_complain="503")
        told = one.page.locator("#no-tagger")
        expect(told).to_contain_text("train it with dvc repro train_tagger")
        assert one.box.get_attribute("placeholder") == "needs the tagger: add chips below"
        asked = []
        one.page.on("request", lambda request: asked.append(request.url))
        one.box.fill("add blue")
        one.page.wait_for_timeout(500)  # the sentence would be read by now
        assert asked == []
        with one.answer():
            one.box.press("Enter")
        failure = one.page.locator("#results .failure")
        expect(failure).to_contain_text("A change in a sentence needs the tagger")
        one.page.get_by_role("button", name="+ Add something").first.click()
        one.page.keyboard.type("blue")
        one.page.keyboard.press("Enter")
        expect(one.page.locator("#reread")).to_be_hidden()
        with one.answer():
            one.page.locator(".go").click()
        assert one.ids() == expected(image_id=image_ids["red"], add=("blue",), remove=())
        assert one.words() == [["add", "blue"]]
        one.page.close()


def test_chips_of_a_sentence_that_is_gone_do_not_come(visit, image_ids):
    one = visit(f"/?image_id={image_ids['red']}&q=add+blue")
    one.start_from(one.ids()[0])
    one.search("add green")
    first = one.ids()[0]
    held = []
    one.page.route("**/page/chips", lambda route: held.append(route))
    steps = (
        (lambda: one.page.get_by_role("button", name="Undo").click(), [["add", "blue"]]),
        (lambda: one.rounds.nth(1).click(), [["add", "green"]]),
        (lambda: one.start_from(first), []),
        (lambda: one.page.get_by_role("button", name="Remove the image").click(), []),
    )
    for number, (act, words) in enumerate(steps):
        with one.page.expect_request("**/page/chips"):
            one.box.fill(f"add white {number}")
        act()
        assert one.words() == words, number
        held[-1].fallback()
        one.page.wait_for_timeout(100)  # a late answer would be shown by now
        assert one.words() == words, number
    assert len(held) == len(steps)


def test_more_like_this(visit, expected):
    one = visit("/?q=yellow")
    chosen = one.ids()[3]
    hit = one.page.locator(".hit").nth(3)
    hit.hover()
    with one.answer():
        hit.get_by_text("More like this").click()
    assert one.ids() == expected(image_id=chosen)
    expect(one.box).to_have_value("")
    expect(one.rounds).to_have_count(2)
    assert parse_qs(urlsplit(one.page.url).query) == {"image_id": [chosen]}


def test_pages(visit, expected):
    image = png(plain("green"))
    one = visit()
    one.choose(image)
    one.search("")
    pages = [one.ids()]
    for _ in range(2):
        with one.answer():
            one.page.get_by_role("link", name="Next").click()
        pages.append(one.ids())
    assert pages == [expected(image=image, offset=offset) for offset in (0, 24, 48)]
    assert [len(page) for page in pages] == [24, 24, 3]
    expect(one.page.get_by_role("link", name="Next")).to_have_count(0)
    expect(one.page.locator(".picture").first).to_be_focused()
    assert one.status().startswith("Results 49 to 51")
    with one.answer():
        one.page.get_by_role("link", name="Previous").click()
    assert one.ids() == pages[1]
    expect(one.page.locator("#history")).to_be_hidden()


def test_the_cut_off_and_the_state_without_results(visit, expected):
    one = visit("/?q=blue")
    slider = one.page.get_by_label("Least score")
    with one.answer():
        slider.fill("0.5")
    assert one.ids() == expected(text="blue", least_score=0.5)
    expect(one.page.locator("#least-shown")).to_have_text("0.5")
    one.search("red green")
    with one.answer():
        slider.fill("0.97")
    expect(one.page.locator("#results")).to_contain_text("No image scores 0.97 or more")
    assert one.status() == "No image found."
    with one.answer():
        one.page.get_by_role("link", name=re.compile("Lower the least score to")).click()
    assert one.ids()
    assert float(slider.input_value()) < 0.97


def test_filters(visit, expected, image_ids):
    one = visit("/?q=blue")
    one.page.get_by_text("Filters", exact=True).click()
    with one.answer():
        one.page.get_by_label("Folder").select_option("red")
    assert len(one.ids()) == 6
    expect(one.page.locator("#filters-set")).to_have_text("1")
    with one.answer():
        one.page.get_by_label("Tag", exact=True).fill("red over blue")
        one.page.keyboard.press("Tab")
    assert one.ids() == [image_ids["red over blue"]]
    with one.answer():
        one.page.get_by_label("From").fill("2100-01-01")
    expect(one.page.locator("#results")).to_contain_text("No image passes the filters")
    one.search("green")
    one.rounds.nth(0).click()
    expect(one.page.get_by_role("checkbox", name="red over blue", exact=True)).to_be_checked()
    expect(one.page.get_by_label("From")).to_have_value("2100-01-01")
    with one.answer():
        one.page.get_by_label("From").fill("")
    assert one.ids() == [image_ids["red over blue"]]
    with one.answer():
        one.page.get_by_role("checkbox", name="red over blue", exact=True).click()
    assert len(one.ids()) == 6
    with one.answer():
        one.page.get_by_label("From").fill("2100-01-01")
    with one.answer():
        one.page.locator("#results").get_by_role("link", name="Clear filters").click()
    assert one.ids() == expected(text="blue")
    expect(one.page.locator("#filters-set")).to_have_text("")
    expect(one.page.locator("#tags-set").get_by_role("checkbox")).to_have_count(0)


def test_back_to_a_refusal(visit, expected):
    """A refused first search is not a round; it is the start of the page."""
    one = visit("/?q=red&least_kb=much", may_complain="status of 400|cannot be parsed")
    one.search("green")
    expect(one.page.locator("#history")).to_be_hidden()
    one.page.go_back()
    expect(one.page.get_by_role("alert")).to_contain_text("The least size must be a number")
    expect(one.box).to_have_value("red")
    expect(one.rounds).to_have_count(1)
    with one.answer():
        one.page.get_by_role("button", name="Try again").click()
    assert one.ids() == expected(text="red")
    expect(one.rounds).to_have_count(2)


def test_errors_can_be_tried_again(visit, expected):
    one = visit(may_complain="status of 503|ERR_FAILED")
    one.page.route(
        "**/page/search",
        lambda route: route.fulfill(
            status=503, json={"error": "the store holds <b>other</b> vectors"}
        ),
    )
    one.search("red")
    alert = one.page.get_by_role("alert")
    expect(alert).to_contain_text("the store holds <b>other</b> vectors")
    one.page.unroute("**/page/search")
    one.page.route("**/page/search", lambda route: route.abort())
    retry = alert.get_by_role("button", name="Try again")
    retry.click()
    expect(alert).to_contain_text("The server does not answer. Is it still running?")
    one.page.unroute("**/page/search")
    with one.answer():
        retry.click()
    assert one.ids() == expected(text="red")
    expect(one.box).to_have_value("red")


def test_a_refusal_of_the_server(visit):
    one = visit("/?q=a&least_kb=much", may_complain="status of 400|cannot be parsed")
    alert = one.page.get_by_role("alert")
    expect(alert).to_contain_text("The least size must be a number, got 'much'")
    with one.answer():
        alert.get_by_role("button", name="Try again").click()  # the field accepts only numbers
    assert one.ids()


def test_placeholders_while_loading_and_only_the_last_answer_counts(visit, expected):
    one = visit()
    held = []

    def hold_red(route):
        if 'name="q"\r\n\r\nred' in route.request.post_data:
            held.append(route)
        else:
            route.fallback()

    one.page.route("**/page/search", hold_red)
    one.box.fill("red")
    one.box.press("Enter")
    results = one.page.locator("#results")
    expect(results).to_have_attribute("aria-busy", "true")
    expect(results.locator(".skeleton .frame")).to_have_count(12)
    expect(one.page.locator("#status")).to_have_text("Searching")
    assert len(held) == 1
    one.box.fill("blue")
    with one.page.expect_event("requestfailed"):  # the first request is cancelled
        one.box.press("Enter")
    assert one.ids() == expected(text="blue")
    assert one.page.url.endswith("?q=blue")


def test_keys_move_among_the_results(visit):
    one = visit("/?q=red")
    key = one.page.keyboard.press
    focused = "document.activeElement.closest('.hit')?.dataset.id"
    order = one.ids()
    columns = one.page.locator(".picture").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().top ==="
        " all[0].getBoundingClientRect().top).length"
    )
    assert 3 < columns < 8
    one.page.locator("body").click(position={"x": 5, "y": 500})
    key("/")
    expect(one.box).to_be_focused()
    expect(one.box).to_have_value("red")
    key("ArrowDown")
    place = 0
    for name, step in (
        ("ArrowRight", 1),
        ("ArrowRight", 1),
        ("ArrowDown", columns),
        ("ArrowLeft", -1),
        ("ArrowUp", -columns),
        ("ArrowUp", 0),
        ("ArrowLeft", -1),
        ("ArrowLeft", 0),
    ):
        key(name)
        place += step
        assert one.page.evaluate(focused) == order[place], name
    key("End")
    assert one.page.evaluate(focused) == order[-1]
    key("ArrowRight")
    assert one.page.evaluate(focused) == order[-1]
    key("Home")
    stops = one.page.locator(".grid a").evaluate_all(
        "all => all.filter(a => a.tabIndex >= 0).length"
    )
    assert stops == 4  # one result and its three actions
    key("Tab")
    assert one.page.evaluate("document.activeElement.innerText") == "More like this"
    key("ArrowRight")
    assert one.page.evaluate(focused) == order[1]


def test_keys_open_a_result_and_lead_back_to_an_empty_box(visit):
    one = visit("/?q=red")
    key = one.page.keyboard.press
    order = one.ids()
    one.box.focus()
    for name in ("ArrowDown", "ArrowRight", "Enter"):
        key(name)
    view = one.page.get_by_role("dialog")
    expect(view).to_be_visible()
    expect(view.locator("#view-place")).to_have_text("2 of 24 on this page")
    key("ArrowRight")
    expect(view.locator("#view-place")).to_have_text("3 of 24 on this page")
    key("Escape")
    expect(view).to_be_hidden()
    expect(one.page.locator(f'.hit[data-id="{order[2]}"] .picture')).to_be_focused()
    key("Escape")
    expect(one.box).to_be_focused()
    key("Escape")
    expect(one.box).to_have_value("")
    key("Enter")
    complaint = one.page.locator("#complaint")
    expect(complaint).to_have_text("Describe an image, choose one, or set a filter.")
    assert one.ids() == order
    one.box.press("x")
    expect(complaint).to_be_hidden()


def test_a_deleted_chip_stays_deleted_while_typing_goes_on(visit, image_ids, expected):
    start = image_ids["green"]
    one = visit(f"/?image_id={start}")
    with one.page.expect_response("**/page/chips"):
        one.box.fill("add red and blue")
    expect(one.chips).to_have_count(2)
    one.page.get_by_role("button", name="Delete red").click()
    assert one.words() == [["add", "blue"]]
    one.box.focus()
    with one.page.expect_response("**/page/chips"):
        one.box.press("End")
        one.page.keyboard.type(" and yellow")
    expect(one.chips).to_have_count(2)
    assert one.words() == [["add", "blue"], ["add", "yellow"]]
    one.box.fill("add red and blue and white")
    with one.answer():  # at once, before the sentence is read
        one.box.press("Enter")
    assert one.words() == [["add", "blue"], ["add", "white"]]
    assert one.ids() == expected(image_id=start, text="", add=("blue", "white"), remove=())
    with one.page.expect_response("**/page/chips"):
        one.page.locator("#reread").click()
    expect(one.chips).to_have_count(3)
    one.box.fill("")
    with one.page.expect_response("**/page/chips"):
        one.box.fill("add red")
    expect(one.chips).to_have_count(1)
    assert one.words() == [["add", "red"]]


def test_a_file_that_moved_has_a_placeholder(visit, tmp_path):
    with gallery_service(tmp_path) as service, running(service) as address:
        (tmp_path / "images" / "plain" / "red.png").unlink()
        gone = ids(service)["red"]
        one = visit("/?q=red", at=address, may_complain="status of 404")
        hit = one.page.locator(f'.hit[data-id="{gone}"]')
        expect(hit.locator(".missing")).to_contain_text("moved, changed or removed since")
        expect(one.page.locator(".missing")).to_have_count(1)
        hit.locator(".picture").click()
        view = one.page.get_by_role("dialog")
        expect(view.locator(".missing")).to_contain_text("index again")
        one.page.keyboard.press("ArrowRight")
        expect(view.locator(".missing")).to_have_count(0)
        expect(view.locator("#view-image")).to_be_visible()


def test_index_again_while_the_service_runs(visit, tmp_path):
    with gallery_service(tmp_path) as service, running(service) as address:
        images = tmp_path / "images"
        (images / "plain" / "red.png").rename(images / "moved.png")
        (images / "new.png").write_bytes(png(plain((255, 9, 9))))
        one = visit("/?q=red", at=address, may_complain="status of 404")
        notice = one.page.locator("#moved")
        expect(notice).to_contain_text("were moved, changed or removed")
        with one.answer():
            notice.get_by_role("button", name="Index the folder again").click()
        expect(notice).to_have_count(0)
        expect(one.page.locator("#indexing")).to_have_text("Indexed: 1 new, 1 moved, 0 removed.")
        expect(one.page.locator(".missing")).to_have_count(0)
        names = one.page.locator(RESULTS).evaluate_all("all => all.map(one => one.dataset.name)")
        assert {"moved.png", "new.png"} <= set(names)
        (images / "new.png").unlink()
        with one.answer():
            one.page.locator("#update button").click()
        expect(one.page.locator("#indexing")).to_have_text("Indexed: 0 new, 0 moved, 1 removed.")
        images.rename(tmp_path / "away")
        one.page.locator("#update button").click()
        expect(one.page.locator("#indexing")).to_contain_text("is not a folder of images")


def test_filters_alone_list_images(visit, image_ids):
    one = visit()
    one.box.press("Enter")
    expect(one.page.locator("#complaint")).to_contain_text("or set a filter")
    one.page.locator("#filters summary").click()
    with one.answer():
        one.page.locator("#sort").select_option("name")
    expect(one.page.locator(".summary h2")).to_have_text("All images")
    with one.answer():
        one.page.locator("select[name=folder]").select_option("red")
    assert len(one.ids()) == 6
    expect(one.page.locator(".score")).to_have_count(0)
    expect(one.page).to_have_url(re.compile(r"\?folder=red&sort=name$"))
    one.page.go_back()
    expect(one.page.locator(".summary h2")).to_have_text("All images")
    expect(one.page.locator("select[name=folder]")).to_have_value("")
    expect(one.page.locator("#sort")).to_have_value("name")


def test_what_is_selected_stays_selected_and_is_downloaded(visit, image_ids):
    one = visit("/?q=red")
    bar = one.page.locator("#picked")
    expect(bar).to_be_hidden()
    first, second = one.ids()[:2]
    one.page.locator(f'.hit[data-id="{first}"] .pick input').check()
    one.page.locator(f'.hit[data-id="{second}"]').hover()
    one.page.locator(f'.hit[data-id="{second}"] .pick input').check()
    expect(bar).to_contain_text("2 selected")
    one.search("cyan")
    third = one.ids()[0]
    one.page.locator(f'.hit[data-id="{third}"] .pick input').check()
    expect(bar).to_contain_text("3 selected")
    with one.page.expect_download() as downloading:
        bar.get_by_role("button", name="List (JSONL)").click()
    lines = downloading.value.path().read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [first, second, third]
    one.search("red")
    expect(one.page.locator(".pick input:checked")).to_have_count(2)
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    expect(one.page.locator(".pick input:checked")).to_have_count(0)


def test_the_large_view_loads_a_size_that_fits(visit, image_ids):
    one = visit("/?q=red")
    asked = []
    one.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    one.page.locator(f'.hit[data-id="{image_ids["red"]}"] .picture').click()
    image = one.page.locator("#view-image")
    expect(image).to_have_attribute("src", f"thumbnails/{image_ids['red']}?size=1024")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    assert [path for path in asked if path.startswith("/images/")] == []


@pytest.mark.parametrize(("width", "height"), [(640, 400), (740, 360), (320, 640)])
def test_the_large_view_on_small_screens(visit, width, height):
    """At 200% zoom, on a phone held across, and at 320 pixels."""
    one = visit("/?q=red", viewport={"width": width, "height": height})
    opened = one.page.locator(RESULTS).nth(1).locator(".picture")
    opened.click()
    view = one.page.get_by_role("dialog")
    inside = """one => {
        const {top, left, right, bottom} = one.getBoundingClientRect();
        return top >= 0 && left >= 0 && right <= innerWidth && bottom <= innerHeight;
    }"""
    assert one.page.locator("#view-image").evaluate(inside)
    close = view.get_by_role("button", name="Close")
    assert close.evaluate(inside)
    assert view.evaluate("view => view.scrollWidth <= view.clientWidth")
    view.evaluate("view => view.scrollTo(0, view.scrollHeight)")
    assert close.evaluate(inside)
    close.click()
    expect(view).to_be_hidden()
    expect(opened).to_be_focused()


def test_escape_removes_the_image_after_the_sentence(visit, image_ids):
    one = visit(f"/?image_id={image_ids['red']}&q=add+blue")
    one.box.press("Escape")
    expect(one.box).to_have_value("")
    expect(one.chips).to_have_count(0)
    expect(one.page.locator("#reference")).to_be_visible()
    one.box.press("Escape")
    expect(one.page.locator("#reference")).to_be_hidden()


@pytest.mark.parametrize("script", [True, False])
def test_below_a_base_path(service, visit, expected, image_ids, script):
    """No request leaves the path: `visit` allows only what begins with it."""
    with running(service, Settings(base_path="/my/photos")) as address:
        below = f"{address}/my/photos"
        one = visit(at=below, java_script_enabled=script)
        one.box.fill("red and blue")
        one.box.press("Enter")
        one.page.wait_for_url(f"{below}/?q=red+and+blue*")
        assert one.ids() == expected(text="red and blue")
        if script:
            below_a_base_path_with_the_script(one, below, expected)
        one.page.locator(".grid .picture").nth(1).hover()
        one.page.get_by_role("link", name="More like this").nth(1).click()
        one.page.wait_for_url(f"{below}/?image_id=*")
        one.page.get_by_role("link", name="Image search").click()
        one.page.wait_for_selector(".starters")
        assert one.page.url == f"{below}/"
        one.page.get_by_role("link", name="API").click()
        one.page.wait_for_url(f"{below}/docs")
        if script:
            expect(one.page.locator(".servers select")).to_have_value("/my/photos")


def below_a_base_path_with_the_script(one, below, expected):
    one.page.locator(".grid .picture").first.click()
    view = one.page.get_by_role("dialog")
    shown = view.locator("#view-image")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    original = view.get_by_role("link", name="Original file")
    assert original.evaluate("link => link.href").startswith(f"{below}/images/")
    one.page.keyboard.press("Escape")
    chosen = one.ids()[0]
    one.start_from(chosen)
    one.search("add yellow")
    assert one.words() == [["add", "yellow"]]
    assert one.ids() == expected(image_id=chosen, text="add yellow")
    one.reload()
    assert one.page.url.startswith(f"{below}/?")
    assert one.ids() == expected(image_id=chosen, text="add yellow")


def test_the_large_view(visit, service, expected):
    one = visit("/?q=white")
    chosen = one.ids()[1]
    record = service.store.get([chosen])[chosen]
    one.page.locator(".picture").nth(1).click()
    view = one.page.get_by_role("dialog")
    expect(view).to_contain_text(record.paths[0])
    expect(view).to_contain_text("32 × 32 pixels")
    expect(view).to_contain_text(f"{record.bytes} bytes")
    expect(view.locator(".tags li")).to_have_text(list(record.tags))
    score = one.page.locator(".hit .score").nth(1).inner_text()
    expect(view.locator("dd").first).to_have_text(score)
    image = view.get_by_role("img", name=f"{record.tags[0]}.png")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    original = view.get_by_role("link", name="Original file").get_attribute("href")
    assert original == f"images/{chosen}"
    view.get_by_role("link", name="Like this, but…").click()
    expect(view).to_be_hidden()
    expect(one.box).to_be_focused()
    one.search("add red")
    assert one.ids() == expected(image_id=chosen, text="add red")
    one.page.locator(".picture").first.click()
    one.page.mouse.click(5, 5)
    expect(view).to_be_hidden()


def test_dark_and_light(visit):
    one = visit("/?q=red", color_scheme="light")
    assert luminance(colour(one, "body", "backgroundColor")) > 0.8
    one.page.get_by_role("button", name="Switch to dark").click()
    assert luminance(colour(one, "body", "backgroundColor")) < 0.1
    one.reload()
    assert luminance(colour(one, "body", "backgroundColor")) < 0.1
    assert one.page.evaluate("localStorage.getItem('theme')") == "dark"
    one.page.get_by_role("button", name="Switch to light").click()
    assert luminance(colour(one, "body", "backgroundColor")) > 0.8
    assert luminance(colour(visit(color_scheme="dark"), "body", "backgroundColor")) < 0.1


def test_text_can_be_read_in_dark_and_light(visit, image_ids):
    """Return the contrast of a text with its background, as WCAG defines it."""
    for scheme in ("light", "dark"):
        one = visit(f"/?image_id={image_ids['red']}&q=add+blue+remove+red", color_scheme=scheme)
        page = luminance(colour(one, "body", "backgroundColor"))
        for selector in (".name", ".cost", "#results h2", "ins", "del", ".hint", ".quiet.add"):
            assert contrast(luminance(colour(one, selector, "color")), page) >= 4.5, selector
        for selector in (".chip.add", ".chip.remove", ".go"):
            text, behind = (colour(one, selector, name) for name in ("color", "backgroundColor"))
            assert contrast(luminance(text), luminance(behind)) >= 4.5, (scheme, selector)


# Returns what is too faint: texts below 4.5, and controls whose edge and ground are below 3.
FAINT = """() => {
    const parse = (text) => {
        const numbers = (text.match(/[\\d.]+/g) ?? []).map(Number);
        const [r, g, b, a = 1] = numbers;
        return text.startsWith("color(") ? [r, g, b, a] : [r / 255, g / 255, b / 255, a];
    };
    const over = ([r, g, b, a], ground) =>
        [r, g, b].map((part, place) => part * a + ground[place] * (1 - a));
    const ground = (one) => {
        if (!one) return [1, 1, 1];
        const own = parse(getComputedStyle(one).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : over(own, ground(one.parentElement));
    };
    const opacity = (one) =>
        one ? Number(getComputedStyle(one).opacity) * opacity(one.parentElement) : 1;
    const light = (colour) => {
        const linear = colour.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const contrast = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const shown = (one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true })
        && !one.closest(".unseen, .skip, .skeleton");
    const faint = [], seen = { texts: 0, edges: 0 };
    const check = (one, what, colour, behind, least) => {
        const found = contrast(over(colour, behind), behind);
        seen[what] += 1;
        if (found < least) faint.push(`${what} ${found.toFixed(2)} ${one.outerHTML.slice(0, 90)}`);
    };
    for (const one of document.body.querySelectorAll("*")) {
        if (!shown(one) || one.disabled) continue;
        const style = getComputedStyle(one);
        const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        const faded = ([r, g, b, a]) => [r, g, b, a * opacity(one)];
        const typed = one.matches("select, input:not([type=range], [type=checkbox])") && one.value;
        if (text || typed) check(one, "texts", faded(parse(style.color)), ground(one), 4.5);
        if (one.placeholder && !one.value) {
            const colour = parse(getComputedStyle(one, "::placeholder").color);
            colour[3] *= Number(getComputedStyle(one, "::placeholder").opacity);
            check(one, "texts", faded(colour), ground(one), 4.5);
        }
        const used = "button, input, select, .button, .box, .act, .chip, .examples a";
        if (!one.matches(used)) continue;
        const edge = parse(style.borderTopColor);
        if (parseFloat(style.borderTopWidth) && edge[3]) {
            const behind = ground(one.parentElement);
            check(one, "edges", over(edge, ground(one)).concat(1), behind, 3);
        }
    }
    return [faint, seen];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_texts_and_controls_stand_out(visit, image_ids, scheme, width):
    """As WCAG 2.2 asks for: 4.5 for texts, and 3 for the edges of what can be used."""
    start = image_ids["red"]
    for path in (
        "/",
        "/?q=" + "+".join(["red"] * 25),
        "/?q=blue&least_score=1",
        "/?q=a&least_kb=x",
        f"/?image_id={start}&q=add+blue+remove+red",
        f"/?image_id={start}&q=hm",
    ):
        one = visit(
            path,
            may_complain="status of 400|cannot be parsed",
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
        )
        one.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        faint, seen = one.page.evaluate(FAINT)
        assert faint == [], path
        assert seen["texts"] > 20
        assert seen["edges"] > 3
    one.page.locator(".picture").first.click()
    expect(one.page.get_by_role("dialog")).to_be_visible()
    assert one.page.evaluate(FAINT)[0] == []


def contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def colour(one, selector, name):
    """Return red, green and blue in [0, 1] from any notation of a browser."""
    text = one.page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{name}")
    numbers = [float(number) for number in re.findall(r"[\d.]+", text)[:3]]
    return numbers if text.startswith("color(") else [number / 255 for number in numbers]


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("width", [360, 320])
def test_on_a_phone_nothing_is_cut_off(visit, image_ids, width):
    phone = {"viewport": {"width": width, "height": 740}, "has_touch": True, "is_mobile": True}
    start = image_ids["red over blue"]
    for path in (
        "/",
        f"/?q={'w' * 80}&tag={'t' * 60}",
        f"/?image_id={start}&q=add+{'long' * 15}+and+yellow+remove+red",
        "/?q=blue&least_score=1",
    ):
        one = visit(path, **phone)
        one.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width, path
        small = one.page.locator("button:visible, .act:visible, summary:visible").evaluate_all(
            "all => all.filter(one => one.getBoundingClientRect().height < 24)"
            ".map(one => one.outerHTML)"
        )
        assert small == []
    one = visit(f"/?image_id={start}&q=add+yellow", **phone)
    assert len(one.ids()) == PAGE
    one.page.get_by_role("link", name="Like this, but…").first.tap()
    expect(one.box).to_have_value("")
    one.search("add white")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = one.page.locator(".hit").evaluate_all(
        """all => all.flatMap(hit => [...hit.querySelectorAll(".act")].filter(act =>
            act.getBoundingClientRect().right > hit.getBoundingClientRect().right + 1))
            .map(act => act.outerHTML)"""
    )
    assert beyond == []
    one.page.locator(".picture").first.tap()
    view = one.page.get_by_role("dialog")
    expect(view).to_be_visible()
    assert view.evaluate("view => view.scrollWidth <= view.clientWidth")


def test_on_a_phone_results_begin_in_the_upper_part(visit, image_ids):
    phone = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}
    one = visit(f"/?image_id={image_ids['red']}&q=add+blue+and+remove+white", **phone)
    one.search("add blue, remove red")
    expect(one.rounds).to_have_count(2)
    top = one.page.locator(".hit").first.evaluate(
        "hit => hit.getBoundingClientRect().top + scrollY"
    )
    assert top <= 0.6 * 780


def test_without_a_script(visit, expected, image_ids):
    one = visit(java_script_enabled=False)
    expect(one.page.locator("#theme")).to_be_hidden()
    one.box.fill("blue")
    one.page.get_by_role("button", name="Search").click()
    assert one.ids() == expected(text="blue")
    one.page.get_by_role("link", name="Next").click()
    assert one.ids() == expected(text="blue", offset=PAGE)
    one.page.locator(".act").nth(1).click(force=True)
    chosen = one.page.locator("#image-id").input_value()
    assert chosen in image_ids.values()
    one.box.fill("add red")
    one.page.get_by_role("button", name="Search").click()
    assert one.ids() == expected(image_id=chosen, text="add red")
    assert one.words() == [["add", "red"]]
    by_hand = f"/?image_id={chosen}&q=add+red&edited=1&add=blue&add=green&remove=red"
    one = visit(by_hand, java_script_enabled=False)
    one.page.get_by_label("Least score").fill("0.1")
    one.page.get_by_role("button", name="Search").click()
    chips = [["add", "blue"], ["add", "green"], ["remove", "red"]]
    assert one.words() == chips
    changed = {"add": ("blue", "green"), "remove": ("red",), "least_score": 0.1}
    assert one.ids() == expected(image_id=chosen, text="add red", **changed)
    one.page.get_by_role("link", name="Read the sentence again").click()
    assert one.words() == [["add", "red"]]
    one.page.get_by_role("link", name="Remove the image").click()
    expect(one.page.locator("#reference")).to_be_hidden()


def test_everything_has_a_name(visit, image_ids):
    one = visit(f"/?image_id={image_ids['red']}&q=add+blue+remove+red")
    one.search("add blue, remove white")
    one.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    nameless = one.page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, img, canvas, output")]
            .filter(one => one.checkVisibility() && ![one.getAttribute("aria-label"),
                one.alt, one.innerText, one.value, one.querySelector("img[alt]")?.alt,
                ...[...(one.labels ?? [])].map(label => label.innerText)].some(Boolean))
            .map(one => one.outerHTML)"""
    )
    assert nameless == []
    for role, name in (
        ("search", "Find images"),
        ("region", "Results"),
        ("navigation", "Rounds of this search"),
        ("list", "Changes to the image"),
        ("list", "Images found, best first"),
        ("group", "Changes"),
        ("slider", "Least score"),
        ("slider", "Weight of the image"),
    ):
        expect(one.page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    expect(one.page.get_by_role("status")).to_have_count(1)
