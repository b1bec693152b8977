"""Measure how long the page of the app takes from Enter to results: python -m speed.page

Needs Chromium (make browsers). The server is a process of its own, as with `cir serve`, over the
images of the test split. The times end with the frame after that in which the results, or all of
their thumbnails in view, are there.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from speed.service import serving
from speed.workload import Workload, load_workload, write_gallery
from tools.app_screenshots import OPTIONS, WIDE, found_browser

QUERIES = 64
SECONDS = 30  # for one search
# Notes when Enter is pressed, and when its results and their thumbnails are painted.
WATCH = """() => {
  const results = () => document.getElementById("results");
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const inView = (one) => one.getBoundingClientRect().top < innerHeight;
  const arrived = (before) => new Promise((done) => {
    const look = () => results() !== before && results().dataset.state === "found" && done();
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  });
  window.searched = new Promise((done) => addEventListener("keydown", async () => {
    const began = performance.now();
    await arrived(results());
    await frame();
    const painted = performance.now() - began;
    const pictures = [...results().querySelectorAll(".picture img")].filter(inView);
    await Promise.all(pictures.map((one) => one.decode()));
    await frame();
    done([painted, performance.now() - began]);
  }, { capture: true, once: true }));
}"""


def main() -> None:
    workload, source = load_workload(QUERIES)
    print(f"queries and images: {source}")
    with TemporaryDirectory() as place:
        write_gallery(Path(place, "images"), workload.encoded, len(workload.encoded))
        with serving(place) as port:
            for kind, times in times_of_page(f"http://127.0.0.1:{port}/", workload).items():
                painted, whole = np.median(times, axis=0)
                print(f"{kind}: results {painted:.0f} ms after Enter, thumbnails {whole:.0f} ms")


def times_of_page(address: str, workload: Workload) -> dict[str, np.ndarray]:
    """Search by words and by an image and a sentence; return milliseconds [queries, 2] of each.

    The first column is the time until the results are painted, the second one with thumbnails.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found_browser(), args=OPTIONS)
        page = browser.new_context(**WIDE).new_page()
        page.set_default_timeout(1000 * SECONDS)

        def timed(texts: Sequence[str]) -> np.ndarray:
            times = []
            for text in texts:
                page.fill("#q", text)
                page.evaluate(WATCH)
                page.keyboard.press("Enter")
                times.append(page.evaluate("searched"))
            return np.array(times[1:])  # the first one also loads what later ones have

        page.goto(address)
        by_words = timed(workload.texts)
        start = page.locator(".hit").first.get_attribute("data-id")
        page.goto(f"{address}?image_id={start}")
        composed = timed(workload.texts)
        browser.close()
    return {"by words": by_words, "by an image and a sentence": composed}


if __name__ == "__main__":
    main()
