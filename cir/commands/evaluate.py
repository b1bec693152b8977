"""Measure a model on queries of one's own: cir evaluate."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cir.commands.options import add_models_option, count, model_folder
from cir.core.english import listed
from cir.core.errors import UserError

if TYPE_CHECKING:
    from cir.retrieval.results import Composition, Evaluation

_WAYS = 6
# The test split of the templates, as the stage expand_templates writes it.
_TEMPLATES = Path("data", "tagging", "templates.json")


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("evaluate", help="measure a model on composed queries of yours")
    about = "a folder with data.csv (query_image, query_text, target_image) and the images"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=about)
    add_models_option(parser, model="encoder", tagger="tagger")
    about = "write all figures, with their protocols, to this JSON file"
    parser.add_argument("--out", type=Path, metavar="JSON", help=about)
    about = (
        "also ask each edit in at least N held-out ways, and measure the spread; without a "
        "number, which has to stand after FOLDER: %(const)s"
    )
    parser.add_argument(
        "--paraphrases", nargs="?", type=count, const=_WAYS, metavar="N", help=about
    )
    about = "the file of the held-out templates for --paraphrases; default: %(default)s"
    parser.add_argument("--templates", type=Path, default=_TEMPLATES, metavar="JSON", help=about)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> str:
    """Measure the model on the folder, write the figures and return the main ones as text."""
    model = model_folder(options, "model", required=True)
    tagger = model_folder(options, "tagger", required=True)
    if not (model / "composer.json").is_file():
        raise UserError(
            f"{model} has no composer.json, so it answers no composed queries: name a model that "
            "has one, such as encoder, or a published one (cir models list)"
        )
    from cir.core import files  # these imports take seconds
    from cir.core.metrics_files import Fingerprint
    from cir.retrieval.evaluation import evaluate, require_queries
    from cir.retrieval.paraphrases import read_held_out
    from cir.retrieval.retriever import Retriever

    require_queries(options.folder)
    if options.out is not None:
        _require_writable(options.out)
    ways = options.paraphrases
    templates = [] if ways is None else read_held_out(options.templates)
    retriever = Retriever.load(model, tagger)
    fingerprints = [
        Fingerprint(model="encoder", fingerprint=retriever.encoder.fingerprint()),
        Fingerprint(model="tagger", fingerprint=files.fingerprint(tagger)),
    ]
    found = evaluate(options.folder, retriever, str(model), fingerprints, templates, ways or _WAYS)
    if options.out is not None:
        found.write(options.out)
    return "\n".join(_told(found))


def _require_writable(out: Path) -> None:
    """Raise UserError now if the figures could not be written in the end."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if out.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"--out: {out} cannot be written; expected the path of a file")


def _told(found: "Evaluation") -> Iterator[str]:
    """Yield the main figures as lines for the screen."""
    yield (
        f"{found.model}: {found.queries:,} queries in a gallery of {found.gallery_size:,} images, "
        "all that the queries name"
    )
    yield from _left_out(found)
    yield ""
    yield f"{'':39}accuracy (95% interval)   recall@5  recall@10    MRR"
    for row in found.results:
        yield (
            f"{row.what:39}{row.accuracy:6.1%} {_interval(row.interval95):17} "
            f"{row.recall_at_5:9.1%}  {row.recall_at_10:9.1%}  {row.mrr:5.3f}"
        )
    yield ""
    yield f"{'target found by':39}  both    edit   image   only both (the composition gap)"
    for row in found.composition:
        if row.kind is None:
            place = "at first place" if row.k == 1 else f"among the first {row.k}"
            yield _composition(place if row.reference_kept else f"{place}, reference removed", row)
    for row in found.composition:
        if row.kind is not None and row.k == 1 and row.reference_kept:
            yield _composition(f"at first place, {row.kind} ({row.queries:,})", row)
    yield ""
    yield f"{'a near miss before the target':39}of the queries            a query"
    for row in found.near_misses:
        share = f"{row.any_ahead:6.1%} {_interval(row.any_ahead_interval95)}"
        yield f"{row.what:39}{share:26}{row.mean_ahead:6.2f}"
    if found.paraphrases:
        yield ""
        yield f"{'accuracy, asked in other words':39}  mean   worst    best  deviation"
    for row in found.paraphrases:
        told = f"{row.what} ({row.queries:,}), {row.ways} ways"
        shares = f"{row.mean:6.1%}  {row.worst:6.1%}  {row.best:6.1%}     {row.deviation:6.1%}"
        yield f"{told:39}{shares}"
    for one in found.absent:
        yield f"{one.what}: not measured, because {one.why}"


def _left_out(found: "Evaluation") -> Iterator[str]:
    """Yield a line for images that could not be read, and one for empty edits."""
    if found.unreadable:
        yield (
            f"images that cannot be read: {len(found.unreadable):,}; queries that need them, left "
            f"out: {len(found.left_out):,}; {listed([one.why for one in found.unreadable], '; ')}"
        )
    if found.empty_edits:
        names = listed([one.name for one in found.empty_edits])
        yield (
            "queries with an empty edit, because the tagger finds no object in the sentence: "
            f"{len(found.empty_edits):,} ({names})"
        )


def _composition(what: str, row: "Composition") -> str:
    shares = f"{row.solved:6.1%}  {row.edit_shortcuts:6.1%}  {row.image_shortcuts:6.1%}"
    return f"{what:39}{shares}  {row.gap:6.1%} {_interval(row.gap_interval95)}"


def _interval(bounds: tuple[float, float]) -> str:
    return f"({bounds[0]:.1%} to {bounds[1]:.1%})"
