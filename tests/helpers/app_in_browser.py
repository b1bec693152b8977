"""Control the page of the app in a headless browser; importing this skips a file without one."""

import shutil
import time
from contextlib import contextmanager

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if BROWSER is None:
    pytest.skip("no chromium on PATH to open the page with", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
PATIENCE = 30_000  # milliseconds; a busy machine needs some of them
expect.set_options(timeout=PATIENCE)
RESULTS = "#results[data-state=found]:not([aria-busy=true]) .grid:not([aria-hidden]) .hit"
# Tells whether the browser has kept the view on show, with all of its results.
KEPT = """async () => {
  const done = (asked) => new Promise((resolve) => {
    asked.onsuccess = () => resolve(asked.result);
  });
  const { tab, view } = history.state ?? {};
  if (!tab) return true;
  const base = await done(indexedDB.open("image-search", 1));
  const kept = await done(base.transaction("tabs").objectStore("tabs").get(tab));
  base.close();
  const html = kept?.views[view]?.as.html;
  const parts = new DOMParser().parseFromString(html ?? "", "text/html");
  const counts = [parts, document].map((one) => one.querySelectorAll("#results .hit").length);
  return html !== undefined && counts[0] === counts[1];
}"""
# Makes an observer that never sees anything.
STILL = "window.IntersectionObserver = class { observe() {} disconnect() {} };"


@contextmanager
def started(firefox=None):
    """A running browser: Chromium, or the Firefox of this path, which must not be patched."""
    with playwright.sync_playwright() as playing:
        if firefox is None:
            kind, options = playing.chromium, {"executable_path": BROWSER, "args": OPTIONS}
        else:
            kind, options = playing.firefox, {"executable_path": firefox, "channel": "moz-firefox"}
        running = kind.launch(timeout=PATIENCE, **options)
        yield running
        running.close()


class Visit:
    """Controls a page of the app in the browser."""

    def __init__(self, page):
        self.page = page
        self.box = page.locator("#q")
        self.chips = page.locator("#chips .chip")
        self.rounds = page.locator("#rounds button")

    def ids(self):
        """Return the ids of the results after the page has shown them."""
        self.page.wait_for_selector(RESULTS)
        hits = self.page.locator(RESULTS)
        return hits.evaluate_all("all => all.map(one => one.dataset.id)")

    @contextmanager
    def answer(self):
        """Wait for the answer to the request that the block sends."""
        with self.page.expect_response("**/page/search"):
            yield
        expect(self.page.locator("#results")).not_to_have_attribute("aria-busy", "true")

    def search(self, text):
        self.box.fill(text)
        with self.answer():
            self.box.press("Enter")

    def start_from(self, image_id):
        """Choose an image of the results as the reference image."""
        hit = self.page.locator(f'.hit[data-id="{image_id}"]')
        hit.hover()
        hit.get_by_text("Like this, but…").click()

    def choose(self, image, name="chosen.png", kind="image/png"):
        files = {"name": name, "mimeType": kind, "buffer": image}
        self.page.locator("#file").set_input_files(files)

    def words(self):
        """Return (sign, name) of each chip on the page."""
        return self.chips.evaluate_all(
            "all => all.map(one => [one.dataset.sign, one.querySelector('.word').textContent])"
        )

    def wait_until_kept(self):
        """Wait until the browser has kept the rounds, which it does while a person goes on."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(KEPT):
            assert time.monotonic() < deadline, "the rounds are not kept"
            time.sleep(0.02)

    def reload(self):
        self.wait_until_kept()
        self.page.reload()

    def status(self):
        return self.page.locator("#status").inner_text()
