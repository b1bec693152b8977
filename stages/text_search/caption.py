"""Caption the images that have no caption → data/captions.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cir.core.device import DEVICE
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.progress import say
from cir.datasets.sources import ImageSource, ShardSource, find_source
from cir.images.shards import ImageShards
from cir.text_search.data import captioned_folder, captions_file
from cir.text_search.data.queries import read_captions
from cir.text_search.training.caption_truth import share_naming_what_is_shown, share_true
from cir.text_search.training.captioner import Captioner
from cir.text_search.training.captioning import caption_images
from cir.text_search.training.finetuning import captions_by_image
from cir.text_search.training.params import CaptionImages
from cir.text_search.training.results import CaptionsMetrics as Metrics
from stages.params import StageParams, load
from stages.run import run

TRAIN = Path("data/text_search/train")
MODEL = Path("models/captioner")
OUT = Path("data/captions.csv")
METRICS = Path("metrics/captions.json")


class Params(StageParams):
    seed: int
    caption_images: CaptionImages


def main() -> None:
    params = load(Params)
    section = params.caption_images
    source = find_source(section.folder or TRAIN)
    found = [image.path for image in source.listed()]
    for problem in source.problems:
        say(f"left out: {problem.sentence}")
    paths = [path for path in found if is_unicode(path)]
    for path in found:
        if not is_unicode(path):
            say(f"left out: {path!a}, because its name is not UTF-8, as {OUT} must be")
    if not paths:
        raise UserError(f"{source.name} holds no image to caption")
    known = by_people(section, set(paths))
    rest = [path for path in paths if path not in known] if section.each else []
    captioned = by_model(section, source, rest, params.seed) if rest else []
    rows = [(name, text, captions_file.PEOPLE) for name in known for text in known[name]]
    rows += [(name, text, captions_file.MODEL) for name, texts in captioned for text in texts]
    captions_file.write(OUT, rows)
    Metrics(
        captions_by_people=sum(map(len, known.values())),
        captions_by_model=sum(len(texts) for _, texts in captioned),
        **truth(section, source, captioned),
    ).write(METRICS)
    say(
        f"{len(known):,} images with captions by people, {len(captioned):,} with the captioner's, "
        f"{len(paths) - len(known) - len(captioned):,} without"
    )


def is_unicode(path: str) -> bool:
    """Return whether the name of a file can be written as UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


def by_people(section: CaptionImages, paths: set[str]) -> Mapping[str, Sequence[str]]:
    """Return the captions by people, by image."""
    if section.people is not None:
        known = placed(captioned_folder.read(section.people), paths)
        absent = sorted(set(known) - paths)
        if absent:
            raise UserError(
                f"{section.people} has captions of {len(absent)} images that are not in "
                f"{section.folder or TRAIN}: {listed(absent)}"
            )
        return known
    return captions_by_image(read_captions(TRAIN)) if section.folder is None else {}


def by_model(
    section: CaptionImages, source: ImageSource, paths: Sequence[str], seed: int
) -> Sequence[tuple[str, Sequence[str]]]:
    """Return the captions that the captioner writes for the images of the source at `paths`."""
    return caption_images(
        Captioner.load(MODEL).to(DEVICE).eval(),
        source,
        paths,
        section.each,
        section.temperature,
        seed,
        section.batch_size,
    )


def placed(known: Mapping[str, list[str]], paths: set[str]) -> dict[str, list[str]]:
    """Return the captions by path; an image that is not beside its captions may be in images/."""
    found: dict[str, list[str]] = {}
    for name, captions in known.items():
        inside = f"images/{name}"
        path = inside if name not in paths and inside in paths else name
        found.setdefault(path, []).extend(captions)
    return found


def truth(
    section: CaptionImages, source: ImageSource, found: Sequence[tuple[str, Sequence[str]]]
) -> dict[str, float | None]:
    """Return the shares of the captions that are true, if objects are known, as in Metrics."""
    if not isinstance(source, ShardSource):
        return {}
    shards = ImageShards(section.folder or TRAIN)
    # The whole set determines which names are known, and whether numbers are.
    objects = {name: shards.objects(name) for name in shards.ids}
    return {
        "captions_true": share_true(found, objects),
        "captions_naming_only_what_is_shown": share_naming_what_is_shown(found, objects),
    }


if __name__ == "__main__":
    run(main)
