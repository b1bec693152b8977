"""Progress in a log: counts, rates and notes, in plain lines."""

import re

from cir.core import progress as progress_module
from cir.core.progress import LogBar, progress


def test_items_pass_through_and_the_last_line_counts_units(capsys):
    batches = [[1, 2, 3], [4, 5], [6]]
    assert list(progress(batches, 6, "embedding", "images", units_in=len)) == batches
    err = capsys.readouterr().err
    assert re.fullmatch(r"embedding: 6/6 images, 0 s, [\d,.e+]+ images/s\n", err)


def test_lines_come_at_intervals_with_the_note(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    steps = progress(range(6), None, "training", "steps")
    for step in steps:
        steps.note(f"loss {step}")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "training: 3 steps, 12 s, 0.25 steps/s, loss 2",
        "training: 6 steps, 24 s, 0.25 steps/s, loss 5",
        "training: 6 steps, 28 s, 0.214 steps/s, loss 5",
    ]


def test_hidden_progress_is_silent(capsys):
    assert list(progress("abc", 3, "spelling", "letters", show=False)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_bar_of_a_library_becomes_lines(capsys):
    with LogBar(total=5_000, initial=0, desc="weights", unit="B", unit_scale=True, name="x") as bar:
        bar.update(2_000)
        bar.update(3_000)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"weights: 5\.00k/5\.00k, 00:00, .*B/s", line)
