"""Read class folders for training, and flat folders of queries and gallery.

    root/training/<class>/*
    root/test/query/*, root/test/gallery/*

The class of a flat file is in its name ("apple_pie_0012.jpg" has the class "apple_pie") or in a
table (see label_table).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cir.classes.datasets import division, folders, label_table, rules
from cir.classes.datasets.base import Findings
from cir.classes.datasets.folders import ImageFile
from cir.classes.datasets.params import TrainingAndTest
from cir.core.english import listed
from cir.core.errors import UserError
from cir.images.splitting import Split

TRAINING, FLAT = "training", {"query": "test/query", "gallery": "test/gallery"}


def splits(params: TrainingAndTest, seed: int) -> dict[str, Split]:
    """Read class folders and labelled flat folders; see make_splits."""
    findings = Findings(params.leave_out)
    folders.require_root(params.root)
    files = {
        "train": folders.read_classes(params.root / TRAINING, f"{TRAINING}/", findings),
        **_labelled(params, findings),
    }
    pools = rules.of_one_class_each(folders.checked(files, params.processes(), findings), findings)
    train = rules.of_several_images(pools.pop("train"), f"in {TRAINING}", rules.PAIRS, findings)
    parts = division.divide(params.divide, train, {"val": params.val}, findings, seed)
    return rules.settled(params.source, parts | pools, findings, False).splits(
        folders.stored(files, params.max_side)
    )


def _labelled(params: TrainingAndTest, findings: Findings) -> dict[str, list[ImageFile]]:
    """Return the flat files of each part, with their classes."""
    paths = {
        part: {
            f"{place}/{path.name}": path
            for path in folders.read_flat(params.root / place, findings)
        }
        for part, place in FLAT.items()
    }
    ids = [name for own in paths.values() for name in own]
    if params.labels == "csv":
        labels = label_table.labels(_table(params), ids)
    else:
        labels = _prefixes(ids, params.separator)
    return {
        part: [ImageFile(name, labels[name], path) for name, path in own.items()]
        for part, own in paths.items()
    }


def _table(params: TrainingAndTest) -> Path:
    places = [params.root / "test" / params.csv, params.root / params.csv]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UserError(f"no table of classes: expected {places[0]} or {places[1]}")
    return found


def _prefixes(ids: Sequence[str], separator: str) -> Mapping[str, str]:
    """Return the class of each file; raises UserError for names without a class."""
    labels = {name: Path(name).stem.rpartition(separator)[0] for name in ids}
    bare = [name for name, label in labels.items() if not label]
    if bare:
        raise UserError(
            f"{len(bare)} of {len(ids)} files have no class before a {separator!r} in their "
            f"names: {listed(bare)}"
        )
    return labels
