"""Test the measurement of relevance feedback on a gallery that can be worked out by hand."""

import numpy as np
import pytest

from cir.core import files
from tools.feedback import keep, main, measure


def gallery():
    """Ten wrong and ten right images close to the query in turns, then ten of each kind."""
    right = np.array([number % 2 == 1 for number in range(40)])
    angle = np.linspace(0, 0.5, 40)  # from the query, the first axis
    third = np.where(right, 0.6, -0.6)
    rows = np.stack([np.cos(angle), np.sin(angle), third], axis=1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), right


def test_feedback_finds_the_right_kind_by_hand():
    vectors, right = gallery()
    query = np.array([[1.0, 0.0, 0.0]])
    # Without feedback the kinds go on in turns: five of ten. With it, only right ones follow.
    assert measure(vectors, query, right[None], (0.5, 0.5)) == (0.5, 1.0)
    assert measure(vectors, query, right[None], (0.0, 0.0)) == (0.5, 0.5)


def test_the_query_s_own_image_is_neither_shown_nor_counted():
    vectors, right = gallery()
    own = 1
    others = right.copy()
    others[own] = False
    without, _ = measure(vectors, vectors[[own]], others[None], (0.0, 0.0), [own])
    ranked = [n for n in np.argsort(-(vectors @ vectors[own]), kind="stable") if n != own]
    left = min(10, others.sum() - others[ranked[:10]].sum())
    assert without == pytest.approx(others[ranked[10:20]].sum() / left)


def test_a_query_whose_answers_are_all_shown_does_not_count():
    vectors, right = gallery()
    few = right & (np.arange(40) < 10)
    query = np.array([[1.0, 0.0, 0.0]] * 2)
    both = measure(vectors, query, np.stack([right, few]), (0.5, 0.5))
    assert both == measure(vectors, query[:1], right[None], (0.5, 0.5))


def test_figures_are_kept_beside_those_of_other_galleries(tmp_path):
    out = tmp_path / "feedback.json"
    keep(out, "drawn", [{"query": "words", "recall@10": 0.1}])
    keep(out, "photographs", [{"query": "words", "recall@10": 0.2}])
    keep(out, "drawn", [{"query": "words", "recall@10": 0.3}, {"query": "an image"}])
    assert files.read_json(out) == [
        {"gallery": "photographs", "query": "words", "recall@10": 0.2},
        {"gallery": "drawn", "query": "words", "recall@10": 0.3},
        {"gallery": "drawn", "query": "an image"},
    ]


def test_figures_are_kept_under_a_name(capsys):
    with pytest.raises(SystemExit):
        main(["store", "--model", "m", "--out", "feedback.json"])
    assert "--out and --gallery go together" in capsys.readouterr().err
