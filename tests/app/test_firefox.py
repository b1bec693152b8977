"""Main ways to use the page of the app, in Firefox: the tests are those of test_browser.py."""

import shutil

import pytest

# First, because it skips this file where there is no Chromium and test_browser is skipped as well.
from tests.helpers.app_in_browser import started  # isort: skip
from tests.app.test_browser import (  # noqa: F401  (run here in the browser below)
    test_a_reload_keeps_rounds_and_uploads,
    test_back_goes_one_step_back_from_a_page_and_from_a_filter,
    test_chips,
    test_choose_an_image,
    test_drop_an_image_and_say_what_to_change,
    test_keys_move_among_the_results,
    test_keys_open_a_result_and_lead_back_to_an_empty_box,
    test_refining_over_rounds,
    test_several_images_in_the_box,
    test_the_large_view,
    test_words,
)

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
pytestmark = [
    pytest.mark.recipes,
    pytest.mark.skipif(FIREFOX is None, reason="no firefox on PATH to open the page with"),
]


@pytest.fixture(scope="module")
def browser():
    with started(FIREFOX) as running_browser:
        yield running_browser
