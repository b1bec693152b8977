"""Fill the templates with object names to make the sentences of the tagger."""

from dataclasses import asdict
from pathlib import Path

from datasets import disable_progress_bars

from cir.core import files
from cir.edits.expansion import expand, read_names, to_dataset
from cir.edits.params import ExpandTemplates
from cir.edits.reading.templates import load_templates
from stages.params import StageParams, load
from stages.run import run

TEMPLATES = Path("prompt_templates.json")
NAMES = Path("data/object_names.txt")
OUT = Path("data/tagging")


class Params(StageParams):
    seed: int
    expand_templates: ExpandTemplates


def main() -> None:
    params = load(Params)
    disable_progress_bars()
    expansion = expand(
        load_templates(TEMPLATES), read_names(NAMES), params.expand_templates, params.seed
    )
    with files.exclusive(OUT), files.whole_folder(OUT) as folder:
        for split, sentences in expansion.sentences.items():
            to_dataset(sentences).save_to_disk(folder / split)
        templates = {
            split: [asdict(template) for template in some]
            for split, some in expansion.templates.items()
        }
        files.write_json(folder / "templates.json", templates)
        files.write_json(folder / "names.json", expansion.names)
    counts = ", ".join(f"{len(some):,} {split}" for split, some in expansion.sentences.items())
    print(f"{sum(map(len, expansion.sentences.values())):,} sentences: {counts}")


if __name__ == "__main__":
    run(main)
