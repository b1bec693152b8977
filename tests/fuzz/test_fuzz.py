"""The frame of `make fuzz`: it ends in time, and saves an input that fails."""

import time
from contextlib import contextmanager

import numpy as np
import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.mutations import changed, json_changed, text_changed, with_checksums
from tests.fuzz.targets import TARGETS, Target
from tests.helpers.image_kinds import kinds


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def a_target(name, run):
    @contextmanager
    def target(folder):
        yield Target(name, 1, lambda rng: b"%d" % rng.integers(0, 1000), run)

    return target


def test_each_target_takes_or_refuses_its_inputs(tmp_path):
    for number, target in enumerate(TARGETS):
        (tmp_path / str(number)).mkdir()
        with target(tmp_path / str(number)) as opened:
            for seed in range(5):
                opened.run(opened.make(np.random.default_rng(seed)))


def test_nothing_is_left_of_a_run_without_a_failure(tmp_path, monkeypatch, capsys):
    tried = []
    monkeypatch.setattr(fuzz, "TARGETS", (a_target("a", tried.append), a_target("b", tried.append)))
    assert fuzz.main(["--minutes", "0.005", "--seed", "3"]) == 0
    assert "no input failed" in capsys.readouterr().err
    assert len(tried) > 10
    assert not list(tmp_path.iterdir())


def refuse_large(data):
    assert int(data) < 900, "too large a number"


def use_no_more_than_usual(data):
    pass


def sleep(data):
    time.sleep(30)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (refuse_large, "too large a number"),
        (use_no_more_than_usual, "the memory grew"),
        (sleep, "took more than"),
    ],
)
def test_an_input_that_fails_is_saved_and_can_be_tried_again(run, reason, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "TARGETS", (a_target("a", run),))
    monkeypatch.setattr(fuzz, "_SECONDS", 1)
    if run is use_no_more_than_usual:
        monkeypatch.setattr(fuzz, "_BYTES", 0)
    assert fuzz.main(["--minutes", "0.5", "--seed", "3"]) == 1
    said = capsys.readouterr().err
    assert reason in said
    (saved,) = fuzz.FAILURES.iterdir()
    assert f"--again {saved}" in said
    assert fuzz.main(["--again", str(saved)]) == 1
    monkeypatch.setattr(fuzz, "_BYTES", 1 << 30)
    monkeypatch.setattr(fuzz, "TARGETS", (a_target("a", lambda data: None),))
    assert fuzz.main(["--again", str(saved)]) == 0


def test_the_same_seed_makes_the_same_changes():
    samples = [kind.data for kind in kinds()[:3]]
    for change in (
        lambda rng: changed(samples[0], rng, samples),
        lambda rng: text_changed(b"a,b\n1,2\n", rng),
        lambda rng: json_changed({"a": [1, {"b": None}]}, rng),
    ):
        first, again, other = (change(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert first == again != other


def test_checksums_of_a_changed_png_are_right_again():
    data = bytearray(kinds()[0].data)
    data[17] ^= 1  # in the width
    assert with_checksums(bytes(data)) != data
    assert with_checksums(kinds()[0].data) == kinds()[0].data
