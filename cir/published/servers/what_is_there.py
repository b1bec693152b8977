"""Find out which parts of a published dataset are there, and what can be run with them."""

import math
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from cir.core.errors import UserError
from cir.images import image_files
from cir.published.datasets import PublishedDataset, QuerySet, TrainingPairs, name_of
from cir.published.datasets.base import Part, absent_images, absent_sentence, broken_sentence
from cir.published.datasets.reading import MissingError, require_layout

_STAGE = "stages/published/dvc.yaml:train"
_WITHHELD = "the answers are withheld, so it cannot be scored"
_WHOLE = "the test server wants every query, so no image may be absent"
_SAMPLE = 200  # images of a part


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    `state` is one word and `sentences` say what is there and what is missing. `runs`: it can be
    trained on or scored. `absent`: it runs only if absent and broken images are left out.
    """

    part: Part
    state: str
    sentences: tuple[str, ...]
    runs: bool
    absent: bool = False


def check(dataset: PublishedDataset, every_image: bool = False) -> tuple[list[str], bool]:
    """Return lines for one screen, and whether anything can be run.

    A sample of each part's images is decoded, or every image.

    Raises UserError if the root has another layout.
    """
    if dataset.stored:
        require_layout(dataset.root, dataset.title)
        # Messages then tell a path below the root from one that only contains its name.
        dataset = replace(dataset, root=dataset.root.absolute())
    findings = [_look(part, every_image) for part in dataset.parts()]
    width = max(len(finding.part.name) for finding in findings)
    lines = [_where(dataset)]
    for finding in findings:
        labels = [f"{finding.state:<8}  {finding.part.name:<{width}}"]
        labels += [" " * len(labels[0])] * (len(finding.sentences) - 1)
        pairs = zip(labels, finding.sentences, strict=True)
        lines += [f"  {label}  {_without_root(sentence, dataset)}" for label, sentence in pairs]
    runs = _runs(dataset, findings)
    lines += ["can be run:", *(f"  {line}" for line in runs)] if runs else ["can be run: nothing"]
    return lines, bool(runs)


def score_command(dataset: PublishedDataset, *parts: str) -> str:
    """Return the command that scores a saved model on parts, or on a split."""
    return _data_command("score", dataset, "--part", *parts)


def answers_command(dataset: PublishedDataset, part: str) -> str:
    """Return the command that writes the files for the test server."""
    return _data_command("answers", dataset, "--part", part) + " --out FOLDER"


def _data_command(command: str, dataset: PublishedDataset, *rest: str) -> str:
    root = ("--root", str(dataset.root)) if dataset.stored else ()
    return shlex.join(("python", "-m", "cir", "data", command, name_of(dataset), *root, *rest))


def _for_hydra(value: str) -> str:
    """Quote a value as Hydra's grammar of overrides needs it, unless it is plain."""
    if re.fullmatch(r"[A-Za-z0-9_/.+@%-]*[A-Za-z_/][A-Za-z0-9_/.+@%-]*", value):
        return value
    # Backslashes count as such, except before a quotation mark; "${" would begin a reference.
    quoted = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
    return "'" + re.sub(r"(\\*)\$\{", lambda m: 2 * m[1] + "\\${", quoted) + "'"


def _where(dataset: PublishedDataset) -> str:
    if dataset.stored:
        return f"{dataset.title} in {dataset.root}"
    return f"{dataset.title}: its images are drawn, so no files are needed"


def _without_root(sentence: str, dataset: PublishedDataset) -> str:
    """Remove the root, which the first line of the screen names, from a sentence."""
    if not dataset.stored:
        return sentence
    root = re.escape(str(dataset.root))
    return re.sub(rf"(?<![\w./-]){root}/| in {root}(?![\w./-])", "", sentence)


def _look(part: Part, every_image: bool) -> Finding:
    try:
        content = part.read()
    except MissingError as error:
        state = "withheld" if part.use == "withheld" else "missing"
        return Finding(part, state, (str(error),), False)
    except UserError as error:
        return Finding(part, "broken", (str(error),), False)
    absent = absent_images(content.images)
    of_absent = (absent_sentence(content.images, absent),) if absent else ()
    there = {name: path for name, path in content.images.items() if name not in set(absent)}
    step = 1 if every_image else max(1, math.ceil(len(there) / _SAMPLE))
    some = dict(islice(there.items(), 0, None, step))
    _, broken = image_files.read_all(some, os.cpu_count() or 1, quiet=len(some) <= _SAMPLE)
    if broken:
        of_absent += (broken_sentence(broken, len(some)),)
        absent = [*absent, *broken]
    if len(some) < len(there):
        of_sample = f"{len(some):,} of {len(there):,} images were decoded; --all decodes them all"
        of_absent += (of_sample,)
    if part.use == "withheld":
        sentence = "; ".join((_size(content), *of_absent, _WITHHELD))
        return Finding(part, "withheld", (sentence, *content.notes), False)
    sentences = (_size(content), *content.notes, *of_absent)
    if not absent:
        return Finding(part, "there", sentences, True)
    return _look_without(part, content, absent, sentences)


def _look_without(
    part: Part, content: QuerySet | TrainingPairs, absent: Sequence[str], sentences: tuple
) -> Finding:
    """Find out what is left without the absent images."""
    try:
        rest = _size(content.without(set(absent)))
    except UserError as error:
        return Finding(part, "missing", (*sentences, f"without them: {error}"), False)
    if part.use == "test server":
        return Finding(part, "in part", (*sentences, _WHOLE), False)
    return Finding(part, "in part", (*sentences, f"without them: {rest}"), True, True)


def _size(content: QuerySet | TrainingPairs) -> str:
    if isinstance(content, TrainingPairs):
        stored = f", {len(content.images):,} images" if content.images else ""
        return f"{len(content):,} pairs an epoch{stored}"
    return f"{len(content.queries):,} queries, {len(content.gallery):,} gallery images"


def _runs(dataset: PublishedDataset, findings: Sequence[Finding]) -> list[str]:
    """Return the commands that can be run, each with what it does."""
    lines = []
    of_training = [finding for finding in findings if finding.part.use == "train"]
    scored = [finding for finding in findings if finding.part.use in ("val", "test")]
    if of_training and all(finding.runs for finding in (*of_training, *scored)):
        settings = [f"benchmark={name_of(dataset)}"]
        if dataset.stored:
            settings.append(f"benchmark.dataset.root={_for_hydra(str(dataset.root))}")
        if any(finding.absent for finding in (*of_training, *scored)):
            settings.append("benchmark.dataset.absent=leave out")
        overrides = " ".join(f"-S {shlex.quote(setting)}" for setting in settings)
        lines.append(f"train and score: dvc exp run {overrides} {_STAGE}")
    by_split: dict[str, list[Finding]] = {}
    for finding in scored:
        by_split.setdefault(finding.part.split, []).append(finding)
    for split, found in by_split.items():
        runs = [finding for finding in found if finding.runs]
        parts = [split] if len(runs) == len(found) else [finding.part.name for finding in runs]
        leave_out = " --leave-out" if any(finding.absent for finding in runs) else ""
        if parts:
            lines.append(f"score a model: {score_command(dataset, *parts)}{leave_out}")
    lines += [
        f"files for the test server: {answers_command(dataset, finding.part.name)}"
        for finding in findings
        if finding.part.use == "test server" and finding.runs
    ]
    return lines
