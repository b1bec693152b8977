"""Ask every test edit in several held-out ways, and measure how much accuracy depends on the way.

After PinPoint (2026, arXiv:2603.04598), which words each instruction in six ways and compares the
figures. The ways here are templates of the test split, which no training ever saw, filled with the
objects of the edit. The tagger reads each sentence anew.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import progress
from cir.core.records import Edit
from cir.edits.reading.templates import Template, fill
from cir.retrieval.breakdown import edits_to_group_by, kind_of
from cir.retrieval.measuring import Measure
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.results import Paraphrases, WayOfAsking
from cir.retrieval.retriever import Retriever
from cir.retrieval.task import Task, compose_queries, encode_edits

WAYS = 6
Kind = tuple[int, int]  # additions and removals
Way = tuple[Template, ...]  # one template, or two whose sentences follow one another


def read_held_out(path: Path) -> list[Template]:
    """Read the test templates from the file that the stage expand_templates writes.

    Raises UserError if the file is missing or of another form.
    """
    if not path.is_file():
        raise UserError(
            f"the held-out templates are not in {path}: make them with dvc repro expand_templates"
        )
    try:
        return [Template(**entry) for entry in files.read_json(path)["test"]]
    except (KeyError, TypeError):
        raise UserError(
            f"{path} does not hold the templates of each split: make it with "
            "dvc repro expand_templates"
        ) from None


def ways_to_ask(
    templates: Sequence[Template], kinds: Iterable[Kind], least: int, seed: int
) -> dict[Kind, list[Way]]:
    """Return at least `least` ways to ask for each kind of edit: every template that fits.

    Where these are too few, pairs of templates are drawn whose objects together are those of the
    edit. A kind that has too few ways even so is left out.
    """
    by_kind: dict[Kind, list[Template]] = {}
    for template in templates:
        by_kind.setdefault((template.additions, template.removals), []).append(template)
    found = {}
    for kind in sorted(set(kinds)):
        ways: list[Way] = [(template,) for template in by_kind.get(kind, [])]
        if len(ways) < least:
            pairs = list(_pairs(by_kind, kind))
            rng = random.Random(f"ways to ask {kind} {seed}")
            ways += rng.sample(pairs, min(len(pairs), least - len(ways)))
        if len(ways) >= least:
            found[kind] = ways
    return found


def _pairs(by_kind: Mapping[Kind, Sequence[Template]], kind: Kind) -> Iterator[Way]:
    """Yield every two templates, in both orders, that together ask for this kind of edit."""
    for first in sorted(by_kind):
        second = (kind[0] - first[0], kind[1] - first[1])
        if second in by_kind:
            yield from itertools.product(by_kind[first], by_kind[second])


def ask(way: Way, edit: Edit) -> str:
    """Return the sentence, or the two sentences, that ask for this edit."""
    add, remove = list(edit.add), list(edit.remove)
    sentences = []
    for template in way:
        own = [add.pop(0) for _ in range(template.additions)]
        sentence = fill(template, own, [remove.pop(0) for _ in range(template.removals)]).text
        sentences.append(sentence)
    assert not add, f"{way} leaves objects to add: {add}"
    assert not remove, f"{way} leaves objects to remove: {remove}"
    ends = [s if s.endswith((".", "!", "?")) else f"{s}." for s in sentences[:-1]]
    return " ".join([*ends, sentences[-1]])


def measure_paraphrases(
    retriever: Retriever,
    task: Task,
    features: torch.Tensor,
    tagged: Sequence[Edit],
    correct: np.ndarray,
    protocol: Protocol,
    templates: Sequence[Template],
    measure: Measure,
    least: int = WAYS,
) -> list[Paraphrases]:
    """Measure all queries and each kind of edit; return nothing if no edit has enough ways.

    Args:
        features: those of the queries' references, float [Q, D], not normalised.
        tagged: the edits as the tagger reads the data's sentences; their objects are asked for if
            the data does not give the true edits.
        correct: whether each query's target comes first with the data's sentence, bool [Q].
        protocol: that of the queries as written.
        templates: the held-out templates.
        least: in how many ways each edit is asked at least.
    """
    edits = edits_to_group_by(task.triplets, tagged)
    rows_of: dict[Kind, list[int]] = {}
    for row, edit in enumerate(edits):
        rows_of.setdefault((len(edit.add), len(edit.remove)), []).append(row)
    ways = ways_to_ask(templates, rows_of, least, measure.seed)
    if not ways:
        return []
    asked = [(rows_of[kind], way) for kind, own in ways.items() for way in own]
    found = _found(retriever, task, features, edits, asked)
    protocol = _protocol(protocol, task, sum(len(rows_of[kind]) for kind in ways), least)
    right = {kind: np.stack([next(found) for _ in own]) for kind, own in ways.items()}
    as_written = {kind: correct[rows_of[kind]] for kind in ways}
    rows = [_row("all queries", right, as_written, protocol, measure)]
    for kind, own in ways.items():
        name = kind_of(edits[rows_of[kind][0]])
        row = _row(name, {kind: right[kind]}, as_written, protocol, measure)
        by_way = [
            WayOfAsking(asked=" ".join(t.template for t in way), accuracy=float(share))
            for way, share in zip(own, right[kind].mean(axis=1), strict=True)
        ]
        rows.append(row.model_copy(update={"by_way": by_way}))
    return rows


def _found(
    retriever: Retriever,
    task: Task,
    features: torch.Tensor,
    edits: Sequence[Edit],
    asked: Sequence[tuple[Sequence[int], Way]],
) -> Iterator[np.ndarray]:
    """Yield for each (rows, way) of `asked` whether the target comes first: bool [rows]."""
    shown = progress(asked, len(asked), "reading the edits in other words", "ways")
    read = [retriever.tagger.tag([ask(way, edits[row]) for row in rows]) for rows, way in shown]
    encoded = encode_edits(retriever, [edit for of_way in read for edit in of_way])
    start = 0
    for (rows, _), own in zip(asked, read, strict=True):
        text = None if encoded.text is None else encoded.text[start : start + len(own)]
        part = replace(encoded, edits=own, text=text)
        yield task.part(rows).rank(compose_queries(retriever, features[rows], part)).correct
        start += len(own)


def _protocol(protocol: Protocol, task: Task, asked: int, least: int) -> dict[str, object]:
    true = all(triplet.edit is not None for triplet in task.triplets)
    source = (
        "held-out templates with the true objects"
        if true
        else "held-out templates with the objects that the tagger reads in the data's sentence"
    )
    total, left_out = len(task.triplets), protocol.left_out
    if asked < total:
        why = f"{total - asked} of {total} queries, whose edits cannot be asked in {least} ways"
        left_out = why if left_out is None else f"{left_out}; {why}"
    return replace(protocol, sentences=source, left_out=left_out).to_dict()


def _row(
    what: str,
    right: Mapping[Kind, np.ndarray],
    as_written: Mapping[Kind, np.ndarray],
    protocol: dict[str, object],
    measure: Measure,
) -> Paraphrases:
    """Return the figures over the kinds of edit in `right`, which has bool [ways, queries] each.

    Each kind counts by its number of queries.
    """
    sizes = [of_kind.shape[1] for of_kind in right.values()]
    counts = [of_kind.sum(axis=1) for of_kind in right.values()]  # of each way
    worst = sum(int(own.min()) for own in counts) / sum(sizes)
    best = sum(int(own.max()) for own in counts) / sum(sizes)
    variances = [own.var() / size**2 for own, size in zip(counts, sizes, strict=True)]
    shares = np.concatenate([of_kind.mean(axis=0) for of_kind in right.values()])
    return Paraphrases(
        what=what,
        queries=len(shares),
        ways=min(map(len, right.values())),
        as_written=float(np.concatenate([as_written[kind] for kind in right]).mean()),
        mean=float(shares.mean()),
        mean_interval95=measure.interval(shares),
        worst=worst,
        best=best,
        spread=best - worst,
        deviation=float(np.sqrt(np.average(variances, weights=sizes))),
        every_way=float((shares == 1).mean()),
        protocol=protocol,
    )
