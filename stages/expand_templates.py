"""Fill the templates with object names to make the sentences of the tagger."""

from dataclasses import asdict
from pathlib import Path

from datasets import disable_progress_bars

from cir.core import files
from cir.edits.expansion import expand, read_names, to_dataset
from cir.edits.held_out import of_families, people_sentences, read_families
from cir.edits.params import ExpandTemplates
from cir.edits.reading.templates import load_templates
from stages.params import StageParams, load
from stages.run import run

TEMPLATES = Path("prompt_templates.json")
NAMES = Path("data/object_names.txt")
FAMILIES = Path("data/held_out_families.json")
PEOPLE = Path("data/people_sentences.json")
OUT = Path("data/tagging")


class Params(StageParams):
    seed: int
    expand_templates: ExpandTemplates


def main() -> None:
    params = load(Params)
    disable_progress_bars()
    templates, families = load_templates(TEMPLATES), read_families(FAMILIES)
    family_names = [name for family in families for name in family.names]
    expansion = expand(
        templates,
        read_names(NAMES),
        params.expand_templates,
        params.seed,
        (of_families(families, templates), family_names),
    )
    people = people_sentences(PEOPLE, params.seed)
    with files.exclusive(OUT), files.whole_folder(OUT) as folder:
        for split, sentences in (expansion.sentences | people).items():
            to_dataset(sentences).save_to_disk(folder / split)
        templates = {
            split: [asdict(template) for template in some]
            for split, some in expansion.templates.items()
        }
        files.write_json(folder / "templates.json", templates)
        files.write_json(folder / "names.json", expansion.names)
    counts = ", ".join(f"{len(some):,} {split}" for split, some in expansion.sentences.items())
    print(f"{sum(map(len, expansion.sentences.values())):,} sentences: {counts}")
    others = ", ".join(f"{len(some):,} {split}" for split, some in people.items())
    print(f"and of other people, for measuring only: {others}")


if __name__ == "__main__":
    run(main)
