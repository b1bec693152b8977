"""Write and check the files for the test servers of CIRR and CIRCO.

CIRR takes two JSON files, {"version": "rc2", "metric": ..., "<pairid>": [names]}: 50 names of the
whole gallery for "recall", 3 of the image set for "recall_subset". CIRCO takes one,
{"<id>": [50 numbers]}.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.published.datasets import PublishedDataset, QuerySet
from cir.published.datasets.reading import is_text, is_whole, read_json
from cir.published.experiment.scoring import Answers

CIRCO_ANSWERS = 50
CIRR_ANSWERS = {"recall": 50, "recall_subset": 3}
CIRR_BYTES = 5_000_000

Problems = dict[str, list[Any]]  # by query: the wrong answers


def write_cirr(folder: Path, query_set: QuerySet, answers: Answers) -> tuple[Path, Path]:
    """Write recall.json and recall_subset.json to `folder`; raise UserError for wrong answers."""
    _require(query_set, "CIRR")
    lists = {"recall": answers.top, "recall_subset": answers.members}
    for metric, count in CIRR_ANSWERS.items():
        content: dict[str, Any] = {"version": "rc2", "metric": metric}
        for query, names in zip(query_set.queries, lists[metric], strict=True):
            content[query.id] = list(names[:count])
        _write(folder / f"{metric}.json", content, _cirr_faults(content, query_set), CIRR_BYTES)
    return folder / "recall.json", folder / "recall_subset.json"


def write_circo(folder: Path, query_set: QuerySet, answers: Answers) -> tuple[Path]:
    """Write circo.json to `folder`; raise UserError for wrong answers."""
    _require(query_set, "CIRCO")
    path = folder / "circo.json"
    pairs = zip(query_set.queries, answers.top, strict=True)
    content = {query.id: [int(name) for name in names[:CIRCO_ANSWERS]] for query, names in pairs}
    _write(path, content, _circo_faults(content, query_set))
    return (path,)


def check_cirr(path: Path, query_set: QuerySet) -> None:
    """Raise UserError, with every fault and counts, unless CIRR's server can score the file."""
    _require(query_set, "CIRR")
    faults = _cirr_faults(_read(path), query_set) + _too_large(path.stat().st_size, CIRR_BYTES)
    _refuse(path, faults)


def check_circo(path: Path, query_set: QuerySet) -> None:
    """Raise UserError, with every fault and counts, unless CIRCO's server can score the file."""
    _require(query_set, "CIRCO")
    _refuse(path, _circo_faults(_read(path), query_set))


@dataclass(frozen=True)
class Server:
    """The files of a test server: `write` writes them to a folder, `check` checks one of them."""

    write: Callable[[Path, QuerySet, Answers], tuple[Path, ...]]
    check: Callable[[Path, QuerySet], None]


SERVERS = {"CIRR": Server(write_cirr, check_cirr), "CIRCO": Server(write_circo, check_circo)}


def server_of(query_set: QuerySet) -> Server:
    """Return the test server of the query set's dataset. Raises UserError if there is none."""
    if query_set.protocol.dataset not in SERVERS:
        raise UserError(f"no test server scores {query_set.name}: {' and '.join(SERVERS)} have one")
    return SERVERS[query_set.protocol.dataset]


def check_answers(dataset: PublishedDataset, name: str, path: Path) -> str:
    """Return the sentence that the dataset's test server can score a file, or raise UserError.

    The images need not exist.
    """
    server, query_set = for_server(dataset, name)
    server.check(path, query_set)
    return f"{path}: {len(query_set.queries):,} queries, as the test server wants them"


def part_for_server(dataset: PublishedDataset) -> str:
    """Return the part for the test server. Raises UserError if the dataset has no server."""
    found = next((part.name for part in dataset.parts() if part.use == "test server"), None)
    if found is None:
        raise UserError(f"{dataset.title} has no test server")
    return found


def for_server(dataset: PublishedDataset, name: str) -> tuple[Server, QuerySet]:
    """Return the server and its query set; the images need not exist."""
    part_for_server(dataset)
    (part,) = dataset.measured(name)
    query_set = part.read()
    return server_of(query_set), query_set


def _require(query_set: QuerySet, title: str) -> None:
    if query_set.protocol.dataset != title:
        raise UserError(f"a file for {title} holds answers to its queries, not {query_set.name}")
    if query_set.protocol.left_out:
        raise UserError(
            f"{query_set.name}: the server wants every query and ranks the whole gallery; left "
            f"out, as image files were absent: {query_set.protocol.left_out}"
        )


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected an object with a list of answers for every query")
    return content


def _write(
    path: Path, content: Mapping[str, Any], faults: list[str], limit: int | None = None
) -> None:
    # With spaces, CIRR's file would come close to the size that its server takes.
    text = json.dumps(content, separators=(",", ":"))
    _refuse(path, faults + _too_large(len(text), limit))
    with files.whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _too_large(size: int, limit: int | None) -> list[str]:
    if limit is None or size <= limit:
        return []
    return [f"it has {size:,} bytes, and the server takes {limit:,}"]


def _refuse(path: Path, faults: Sequence[str]) -> None:
    if faults:
        raise UserError(f"{path}: " + "; ".join(faults))


def _cirr_faults(content: Mapping[str, Any], query_set: QuerySet) -> list[str]:
    faults, metric = [], content.get("metric")
    if content.get("version") != "rc2":
        faults.append(f'"version" is {content.get("version")!r}, expected "rc2"')
    if metric not in CIRR_ANSWERS:
        expected = " or ".join(f'"{name}"' for name in CIRR_ANSWERS)
        return [*faults, f'"metric" is {metric!r}, expected {expected}']
    given = {key: value for key, value in content.items() if key not in ("version", "metric")}
    lists, more = _lists(given, query_set, is_text, "names")
    faults += more + _faults_of_lists(lists, query_set, CIRR_ANSWERS[metric])
    faults += _references(lists, query_set)
    if metric == "recall_subset":
        members = {query.id: query.members for query in query_set.queries}
        outside = {
            key: [name for name in names if name not in members[key]]
            for key, names in lists.items()
        }
        faults += _told("answer with images outside their image set", outside, query_set)
    return faults


def _circo_faults(content: Mapping[str, Any], query_set: QuerySet) -> list[str]:
    lists, faults = _lists(content, query_set, is_whole, "whole numbers")
    faults += _faults_of_lists(lists, query_set, CIRCO_ANSWERS)
    return faults if query_set.protocol.reference_kept else faults + _references(lists, query_set)


def _lists(
    given: Mapping[str, Any], query_set: QuerySet, fits: Callable[[Any], bool], what: str
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the lists of answers as ids, and what is wrong with the other entries."""
    lists, others = {}, []
    ids = dict.fromkeys(query.id for query in query_set.queries)
    for key in ids.keys() & given.keys():
        if isinstance(given[key], list) and all(map(fits, given[key])):
            lists[key] = [str(name) for name in given[key]]
        else:
            others.append(key)
    absent = [key for key in ids if key not in given]
    unknown = [key for key in given if key not in ids]
    whole, faults = f"of {len(ids)} queries", []
    if absent:
        faults.append(f"{len(absent)} {whole} have no answers: {listed(absent)}")
    if others:
        faults.append(f"{len(others)} {whole} have no list of {what}: {listed(sorted(others))}")
    if unknown:
        faults.append(f"{len(unknown)} keys are not queries of the split: {listed(unknown)}")
    return {key: lists[key] for key in ids if key in lists}, faults


def _faults_of_lists(lists: Mapping[str, list[str]], query_set: QuerySet, count: int) -> list[str]:
    gallery = set(query_set.gallery)
    short = {key: [len(names)] for key, names in lists.items() if len(names) != count}
    twice = {
        key: [name for name in dict.fromkeys(names) if names.count(name) > 1]
        for key, names in lists.items()
        if len(set(names)) < len(names)
    }
    unknown = {key: [n for n in names if n not in gallery] for key, names in lists.items()}
    return [
        *_told(f"do not have {count} answers", short, query_set),
        *_told("have an answer twice", twice, query_set),
        *_told(f"have answers outside the {len(gallery)} gallery images", unknown, query_set),
    ]


def _references(lists: Mapping[str, list[str]], query_set: QuerySet) -> list[str]:
    own = {q.id: [q.reference] for q in query_set.queries if q.reference in lists.get(q.id, ())}
    return _told("have their own reference among the answers", own, query_set)


def _told(what: str, problems: Problems, query_set: QuerySet) -> list[str]:
    found = [f"{key} ({listed(why)})" for key, why in problems.items() if why]
    if not found:
        return []
    return [f"{len(found)} of {len(query_set.queries)} queries {what}: {listed(found)}"]
