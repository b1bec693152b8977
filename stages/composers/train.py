"""Train one composer on encoded triplets: python -m stages.composers.train NAME"""

import shutil
import sys
from pathlib import Path

from pydantic import model_validator

from cir.composers.params import AnyComposer
from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.core.params import Section
from cir.training.composer_comparison import (
    Trained,
    load_trained,
    save_trained,
    train_composer,
)
from cir.training.encoded_split import EncodedSplit
from cir.training.params import CompareComposers
from cir.training.shared.loop import sole_writer
from stages.params import StageParams, load
from stages.run import code_of, run

ENCODED = Path("data/composers")
MODELS = Path("models/composers")


class Params(StageParams):
    seed: int
    composers: dict[str, AnyComposer]
    compare_composers: CompareComposers

    @model_validator(mode="after")
    def _every_rate_has_its_composer(self) -> "Params":
        unknown = self.compare_composers.learning_rates.keys() - self.composers.keys()
        if unknown:
            raise ValueError(
                f"compare_composers.learning_rates must name composers "
                f"({', '.join(self.composers)}), got {', '.join(sorted(unknown))}"
            )
        return self


def main() -> None:
    params = load(Params)
    name = chosen(sys.argv[1:], params)
    section, composer = params.compare_composers, params.composers[name]
    train, val = (EncodedSplit.load(ENCODED / split).to(DEVICE) for split in ("train", "val"))
    out = MODELS / name
    recipe = [params.seed, composer.model_dump(), section.model_dump()]
    checkpoints = checkpoint_folder(f"compare-{name}", recipe, *code_of(__file__), ENCODED)
    with sole_writer(out, checkpoints):
        own = section.for_composer(name)
        trained = train_all(composer, train, val, own, params.seed, checkpoints)
        with files.whole_folder(out) as folder:
            save_trained(trained, folder)
    accuracies = ", ".join(f"{one.val_accuracy:.1%}" for one in trained)
    print(f"{name}: {accuracies} of the validation queries")


def chosen(arguments: list[str], params: Params) -> str:
    """Return the name on the command line, a key of `composers` in the params."""
    if len(arguments) != 1 or arguments[0] not in params.composers:
        known = ", ".join(params.composers)
        raise UserError(f"expected the name of one composer ({known}), got {arguments}")
    return arguments[0]


def train_all(
    composer: Section,
    train: EncodedSplit,
    val: EncodedSplit,
    recipe: CompareComposers,
    seed: int,
    checkpoints: Path,
) -> list[Trained]:
    """Train with one seed after another; a composer without weights is built once.

    Finished trainings are kept below `checkpoints` if the stage is interrupted. The training that
    was interrupted starts again from its first step: it takes seconds, and the time reported for
    it must be that of a whole training.
    """
    trained = []
    for number in range(recipe.trainings):
        finished, unfinished = checkpoints / f"finished-{number}", checkpoints / "unfinished"
        if not finished.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            one = train_composer(composer, train, val, recipe, seed + number, unfinished)
            with files.whole_folder(finished) as folder:
                save_trained([one], folder)
        trained += load_trained(finished)
        if not list(trained[0].composer.parameters()):
            break
    return trained


if __name__ == "__main__":
    run(main)
