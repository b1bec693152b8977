import numpy as np
import pytest
from PIL import Image

from cir.drawing.saving import MOST_BYTES, save_sheet


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.png"])
def test_noisy_sheets_fit_the_limit(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 900, 3), dtype=np.uint8)
    save_sheet(Image.fromarray(noise), tmp_path / name)
    assert (tmp_path / name).stat().st_size <= MOST_BYTES
    assert Image.open(tmp_path / name).size == (900, 1000)
