"""Encode training and validation triplets once, for the comparison of composers."""

from pathlib import Path

from cir.core import files
from cir.core.device import DEVICE
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.training.encoded_split import encode_folder
from cir.training.params import EncodeForComposers
from stages.params import StageParams, load
from stages.run import run

ENCODER = Path("models/encoder_base")
TAGGER = Path("models/tagger")
TRAIN = Path("data/retrieval/train")
VAL = Path("data/retrieval/val")
OUT = Path("data/composers")


class Params(StageParams):
    encode_for_composers: EncodeForComposers


def main() -> None:
    params = load(Params)
    encoder, tagger = Encoder.load(ENCODER).to(DEVICE).eval(), Tagger.load(TAGGER, DEVICE)
    most = params.encode_for_composers.train_queries
    with files.exclusive(OUT), files.whole_folder(OUT) as folder:
        for source, split in (
            (TRAIN, encode_folder(TRAIN, encoder, tagger, most)),
            (VAL, encode_folder(VAL, encoder, tagger, whole_gallery=True)),
        ):
            (folder / source.name).mkdir()
            split.save(folder / source.name)


if __name__ == "__main__":
    run(main)
