"""Write and check a JSON file of answers: {query id: [gallery ids, best first]}."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError

Lists = dict[str, list[str]]


def write(path: str | Path, query_ids: Sequence[str], ranked_ids: Sequence[Sequence[str]]) -> None:
    """Write for each query the list of gallery ids, best first.

    Raises UserError, and writes nothing, for query ids that repeat or are no strings, for lists
    that are empty or not equally long, and for lists with an id twice or with values that are no
    strings.
    """
    assert len(query_ids) == len(ranked_ids), f"{len(ranked_ids)} lists for {len(query_ids)} ids"
    k = len(ranked_ids[0]) if len(ranked_ids) else 0
    given = [(query, list(ids)) for query, ids in zip(query_ids, ranked_ids, strict=True)]
    no_text = [query for query in query_ids if not isinstance(query, str)]
    faults = []
    if not given:
        faults.append("there are no queries to answer")
    elif k == 0:
        faults.append(f"the list of {query_ids[0]} is empty")
    if no_text:
        faults.append(f"{len(no_text)} of {len(given)} query ids are no strings: {listed(no_text)}")
    faults += _repeated(query for query, _ in given)
    lists, more = _lists_of_text(given)
    _refuse(path, faults + more + _of_lists(lists, k))
    files.write_json(path, lists)


def check(path: str | Path, query_ids: Sequence[str], gallery_ids: Sequence[str], k: int) -> str:
    """Check that a file answers each query with `k` ids of the gallery; return a sentence.

    Raises one UserError with all problems, with counts and the first names.
    """
    assert k >= 1, f"{k} answers"
    given = _read(Path(path))
    lists, faults = _lists_of_text(given)
    asked, keys = set(query_ids), {key for key, _ in given}
    absent = [query for query in query_ids if query not in keys]
    unknown = [key for key in dict.fromkeys(key for key, _ in given) if key not in asked]
    if absent:
        faults.append(f"{len(absent)} of {len(query_ids)} queries are missing: {listed(absent)}")
    if unknown:
        faults.append(f"{len(unknown)} keys are no query: {listed(unknown)}")
    faults += _repeated(key for key, _ in given)
    faults += _of_lists(lists, k) + _outside(lists, gallery_ids)
    _refuse(path, faults)
    queries = f"{len(lists):,} {'query' if len(lists) == 1 else 'queries'}"
    return f"{path} answers {queries} with {k} gallery {'id' if k == 1 else 'ids'} each"


def _read(path: Path) -> list[tuple[str, Any]]:
    """Return the keys and values of the file as pairs, because a key may come twice."""
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: expected a JSON object with a list of gallery ids for every query, got "
            f"{_KINDS[type(content)]}"
        )
    # Inner objects become tuples, so that they do not pass for lists of answers.
    return list(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=tuple))


_KINDS = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _lists_of_text(given: Sequence[tuple[str, Any]]) -> tuple[Lists, list[str]]:
    """Return the lists of strings by query, and the problems with other values.

    The last list counts if a query has several.
    """
    lists, others = {}, []
    for query, ids in given:
        if isinstance(ids, list) and all(isinstance(name, str) for name in ids):
            lists[query] = ids
        else:
            others.append(query)
    if not others:
        return lists, []
    return lists, [f"{len(others)} of {len(given)} keys have no list of strings: {listed(others)}"]


def _repeated(keys: Iterable[str]) -> list[str]:
    often = [f"{key} ({count} times)" for key, count in Counter(keys).items() if count > 1]
    return [f"{len(often)} queries are answered more than once: {listed(often)}"] if often else []


def _of_lists(lists: Lists, k: int) -> list[str]:
    short = {query: [len(ids)] for query, ids in lists.items() if len(ids) < k}
    long = {query: [len(ids)] for query, ids in lists.items() if len(ids) > k}
    twice = {
        query: [name for name, count in Counter(ids).items() if count > 1]
        for query, ids in lists.items()
        if len(set(ids)) < len(ids)
    }
    return [
        *_told(f"lists are shorter than {k}", short, lists),
        *_told(f"lists are longer than {k}", long, lists),
        *_told("lists have an id twice", twice, lists),
    ]


def _outside(lists: Lists, gallery_ids: Sequence[str]) -> list[str]:
    gallery = set(gallery_ids)
    unknown = {query: [name for name in ids if name not in gallery] for query, ids in lists.items()}
    return _told(f"lists have ids outside the {len(gallery)} gallery images", unknown, lists)


def _told(what: str, problems: Mapping[str, Sequence[object]], lists: Lists) -> list[str]:
    found = [f"{query} ({listed(why)})" for query, why in problems.items() if why]
    return [f"{len(found)} of {len(lists)} {what}: {listed(found)}"] if found else []


def _refuse(path: str | Path, faults: Sequence[str]) -> None:
    if faults:
        raise UserError(f"{path}: " + "; ".join(faults))
