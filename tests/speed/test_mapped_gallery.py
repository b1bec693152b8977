"""Ranking a gallery that stays on disk: its memory does not grow with the gallery."""

import time

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.retrieval.ranking.ranking import rank
from speed import mapped_gallery


def test_files_hold_vectors_of_length_one(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_gallery, "_ROWS", 10)
    monkeypatch.setattr(mapped_gallery, "_IN_A_FILE", 30)
    gallery = mapped_gallery.write(tmp_path, 77, 4)
    assert gallery.shape == (77, 4)
    assert len(list(tmp_path.iterdir())) == 3
    np.testing.assert_allclose(np.linalg.norm(gallery[:], axis=1), 1, atol=1e-6)


def test_memory_beside_the_map_is_a_small_part_of_it(tmp_path):
    gallery = mapped_gallery.write(tmp_path, 200_000, 128)
    ids = [str(number) for number in range(len(gallery))]
    targets = np.arange(0, 40)
    queries, names = gallery[targets], [f"query {number}" for number in targets]

    def ranked():
        ranking = rank(queries, gallery, names, ids, targets)
        assert (ranking.target_ranks == 1).all()

    ranked()
    _, memory = mapped_gallery.seconds_and_memory(ranked)
    assert memory < 0.4 * gallery.shape[0] * gallery.shape[1] * 4

    def copied():
        copy = gallery[:].copy()
        time.sleep(0.5)  # memory is looked at twenty times a second
        assert len(copy) == len(gallery)

    _, loaded = mapped_gallery.seconds_and_memory(copied)
    assert loaded > 0.9 * gallery.shape[0] * gallery.shape[1] * 4


def test_vectors_that_would_fill_the_disk_are_refused(tmp_path):
    with pytest.raises(UserError, match="give fewer --images"):
        mapped_gallery.write(tmp_path, 10**12, 512)
