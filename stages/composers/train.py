"""One composer is trained on encoded triplets: python -m stages.composers.train NAME"""

import shutil
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from cir.composers.params import AnyComposer
from cir.core import files
from cir.core.errors import UserError
from cir.core.params import Section
from cir.training.composer_comparison import (
    Recipe,
    Trained,
    load_trained,
    save_trained,
    train_composer,
)
from cir.training.encoded_split import EncodedSplit
from cir.training.shared.loop import Schedule
from cir.training.shared.params import DEVICE
from stages.params import StageParams, load
from stages.run import code_of, run

ENCODED = Path("data/composers")
MODELS = Path("models/composers")


class CompareComposers(Section):
    """The same for every composer; see cir.training.composer_comparison.Recipe.

    `trainings` with different seeds; `learning_rate` is the default, `learning_rates` those of
    single composers, by name.
    """

    trainings: PositiveInt
    steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveFloat
    learning_rates: dict[str, PositiveFloat]
    weight_decay: NonNegativeFloat
    warmup: Annotated[float, Field(ge=0, le=1)]
    gradient_clip: PositiveFloat
    temperature: PositiveFloat
    set_weight: NonNegativeFloat
    evaluate_every: PositiveInt

    def recipe(self, composer: str, seed: int) -> Recipe:
        """How the composer of this name is trained."""
        schedule = Schedule(
            self.steps, self.warmup, self.gradient_clip, "no", self.evaluate_every, 0, seed
        )
        return Recipe(
            schedule,
            self.batch_size,
            self.learning_rates.get(composer, self.learning_rate),
            self.weight_decay,
            self.temperature,
            self.set_weight,
        )


class Params(StageParams):
    seed: int
    composers: dict[str, AnyComposer]
    compare_composers: CompareComposers

    @model_validator(mode="after")
    def _every_rate_has_its_composer(self) -> "Params":
        unknown = self.compare_composers.learning_rates.keys() - self.composers.keys()
        if unknown:
            raise ValueError(
                f"compare_composers.learning_rates are of composers ({', '.join(self.composers)}), "
                f"got {', '.join(sorted(unknown))}"
            )
        return self


def main() -> None:
    params = load(Params)
    name = chosen(sys.argv[1:], params)
    section, settings = params.compare_composers, params.composers[name].model_dump()
    train, val = (EncodedSplit.load(ENCODED / split).to(DEVICE) for split in ("train", "val"))
    out = MODELS / name
    recipes = [section.recipe(name, params.seed + n) for n in range(section.trainings)]
    recipe = [params.seed, settings, section.model_dump()]
    checkpoints = files.checkpoint_folder(f"compare-{name}", recipe, *code_of(__file__), ENCODED)
    with files.exclusive(out, checkpoints):
        trained = train_all(settings, train, val, recipes, checkpoints)
        with files.whole_folder(out) as folder:
            save_trained(trained, folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
    accuracies = ", ".join(f"{one.val_accuracy:.1%}" for one in trained)
    print(f"{name}: {accuracies} of the validation queries")


def chosen(arguments: list[str], params: Params) -> str:
    """The composer's name, a key of the params' `composers`."""
    if len(arguments) != 1 or arguments[0] not in params.composers:
        known = ", ".join(params.composers)
        raise UserError(f"expected the name of one composer ({known}), got {arguments}")
    return arguments[0]


def train_all(
    settings: dict[str, object],
    train: EncodedSplit,
    val: EncodedSplit,
    recipes: list[Recipe],
    checkpoints: Path,
) -> list[Trained]:
    """Train once for each recipe; a composer without weights is the same every time.

    Finished trainings outlive an interruption, below `checkpoints`. The one that it hits starts
    anew, as it takes seconds, and the time that is reported shall be that of a whole training.
    """
    trained = []
    for number, recipe in enumerate(recipes):
        finished, unfinished = checkpoints / f"finished-{number}", checkpoints / "unfinished"
        if not finished.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            one = train_composer(settings, train, val, recipe, unfinished)
            with files.whole_folder(finished) as folder:
                save_trained([one], folder)
        trained += load_trained(finished)
        if not list(trained[0].composer.parameters()):
            break
    return trained


if __name__ == "__main__":
    run(main)
