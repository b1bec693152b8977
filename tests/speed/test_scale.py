"""What a gallery costs, by hand."""

import re
import sys
from dataclasses import replace

import pytest

from speed import scale, scale_check
from speed.scale import ENCODERS, SIZES, Encoder, Inputs, cost

# Round numbers, so that each figure can be worked out in the head.
ROUND = Encoder(
    dim=100,
    on_gpu=True,
    images_per_second=1000,
    steps_per_second=2,
    steps=14_400,
    kilobytes=50,
    source="round numbers",
)
INPUTS = Inputs(
    machines=10,
    gpu_dollars_per_hour=3,
    cpu_dollars_per_hour=0.5,
    memory_dollars_per_hour=1,
    memory_gigabytes=100,
    object_dollars_per_month=0.02,
    disk_dollars_per_month=0.1,
    payload_bytes=100,
    overhead=2,
    graph_edges=10,
    scan_gigabytes_per_second=8,
    graph_milliseconds=1,
)


def test_embedding_and_retraining_by_hand():
    # 3.6e8 images at 1,000/s are 3.6e5 s, 100 hours of machines; ten of them side by side take 10.
    found = cost(3.6e8, ROUND, INPUTS)
    assert found.embedding_hours == pytest.approx(10)
    assert found.embedding_dollars == pytest.approx(300)
    assert found.training_hours == pytest.approx(2)  # 14,400 steps at 2/s
    assert found.retraining_hours == pytest.approx(12)
    assert found.retraining_dollars == pytest.approx(306)
    on_processors = cost(3.6e8, replace(ROUND, on_gpu=False), INPUTS)
    assert on_processors.embedding_dollars == pytest.approx(50)


def test_storage_by_hand():
    # 1e9 images of 50 kB are 50,000 GB; 400 bytes of vector and 100 of record each are 500 GB.
    found = cost(1e9, ROUND, INPUTS)
    assert found.images_gigabytes == pytest.approx(50_000)
    assert found.vectors_gigabytes == pytest.approx(500)
    assert found.storage_dollars_per_month == pytest.approx(50_000 * 0.02 + 500 * 0.1)


def test_index_memory_by_hand():
    # The graph has 20 edges of 4 bytes: 80. (400 + 80) * 2, (100 + 80) * 2, (12.5 + 80) * 2 bytes.
    found = cost(1e9, ROUND, INPUTS)
    assert found.exact_gigabytes == pytest.approx(960)
    assert found.scalar_gigabytes == pytest.approx(360)
    assert found.binary_gigabytes == pytest.approx(185)
    machines = found.exact_machines, found.scalar_machines, found.binary_machines
    assert machines == (10, 4, 2)
    assert found.exact_dollars_per_month == pytest.approx(7300)
    assert found.binary_dollars_per_month == pytest.approx(1460)


def test_search_by_hand():
    # Ten machines hold 1e8 vectors of 400 bytes each: 40 GB, read at 8 GB/s in 5 s.
    found = cost(1e9, ROUND, INPUTS)
    assert found.scan_milliseconds == pytest.approx(5000)
    assert found.graph_milliseconds == pytest.approx(8 / 5)  # log 1e8 / log 1e5
    small = cost(1e4, ROUND, INPUTS)
    assert small.exact_machines == 1
    assert small.scan_milliseconds == pytest.approx(0.5)
    assert small.graph_milliseconds == 1


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_nothing_falls_as_the_gallery_grows(encoder):
    costs = [cost(size, encoder) for size in SIZES]
    for key in scale.ROWS.values():
        values = [getattr(one, key) for one in costs]
        if key != "scan_milliseconds":  # another machine takes a part of each shard
            assert values == sorted(values), key


def test_the_command_takes_other_inputs(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["scale", *words])
        scale.main()
        return capsys.readouterr().out

    def figure(told, row):
        (line,) = [line for line in told.splitlines() if line.startswith(row)]
        return line.split()[-1]

    words = "--images", "1e9", "--encoder", "vitamin_l_384"
    told = run(*words)
    assert "one H200, 2026-11-26" in told
    assert figure(told, "embedding, hours") == "596"  # 1e9 / 466 / 3600
    assert figure(told, "embedding, dollars") == "2,706"
    assert figure(run(*words, "--machines", "8"), "embedding, hours") == "74.5"
    assert figure(run(*words, "--gpu-dollars-per-hour", "1"), "embedding, dollars") == "596"
    assert figure(run(*words, "--dim", "512"), "index memory exact") == "3,264"
    assert len(re.findall("[0-9]+", run().splitlines()[1])) > len(SIZES)


@pytest.mark.parametrize("words", [("--images", "0"), ("--machines", "0"), ("--dim", "-1")])
def test_impossible_inputs_are_a_sentence(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["scale", *words])
    with pytest.raises(SystemExit) as left:
        scale.main()
    assert left.value.code == 2
    assert words[0] in capsys.readouterr().err.splitlines()[-1]


def test_the_check_says_how_far_off_the_formula_is():
    # 2 s for 10, so 20 s for 100 are said; 25 s were found, and a tenth more bytes.
    found = {10: (2.0, 10 * 1024), 100: (25.0, 110 * 1024)}
    first, second = scale_check.lines("work", (10, 100), found.get)[1:]
    assert first.split() == ["10", "2.00", "2.00", "0%", "10,240", "0.0%"]
    assert second.split() == ["100", "25.00", "20.00", "25%", "112,640", "10.0%"]


def test_the_check_ranks_what_it_says():
    seconds, stored = scale_check.ranking(8_000)
    assert seconds > 0
    assert stored == 8_000 * 256 * 4
