"""Embed the queries and the gallery of class-level retrieval → data/class_embeddings."""

import shutil
from pathlib import Path

import torch

from cir.classes.embedder.baselines import ColourHistogram, FlipAveraged
from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.params import EmbedClasses, Embedder
from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.device import DEVICE
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import ImageEncoder, embed
from stages.params import StageParams, load
from stages.run import code_of, run

MODEL = Path("models/class_embedder")
DATA = Path("data/classes")
EMBEDDINGS = Path("data/class_embeddings")
PARTS = ("query", "gallery")


class Params(StageParams):
    seed: int
    class_embedder: Embedder
    embed_classes: EmbedClasses


def main() -> None:
    params = load(Params)
    section = params.embed_classes
    encoders = chosen(params)
    recipe = params.model_dump(mode="json")
    inputs = (MODEL, *(DATA / part for part in PARTS))
    work = checkpoint_folder("embed_classes", recipe, *code_of(__file__), *inputs)
    with files.exclusive(EMBEDDINGS, work):
        for name, encoder in encoders.items():
            for part in PARTS:
                finished = work / "finished" / name / part
                if not finished.is_dir():
                    shards, what = ImageShards(DATA / part).shards(), f"{part}, {name}"
                    embed(
                        encoder, shards, finished, work, section.batch_size, section.workers, what
                    )
        with files.whole_folder(EMBEDDINGS) as unfinished:
            hidden = shutil.ignore_patterns(".*")  # a killed run may have left these
            shutil.copytree(work / "finished", unfinished, dirs_exist_ok=True, ignore=hidden)
        shutil.rmtree(work)


def chosen(params: Params) -> dict[str, ImageEncoder]:
    """Return the encoders by the name of the folder for their vectors."""
    embedder = ClassEmbedder.load(MODEL).to(DEVICE).eval()
    encoders: dict[str, ImageEncoder] = {"plain": embedder}
    if params.embed_classes.flip:
        encoders["flip"] = FlipAveraged(embedder)
    if params.embed_classes.baselines:
        torch.manual_seed(params.seed)  # gives the weights with which training began
        encoders["untrained"] = params.class_embedder.untrained_tower().to(DEVICE).eval()
        encoders["colours"] = ColourHistogram()
    return encoders


if __name__ == "__main__":
    run(main)
