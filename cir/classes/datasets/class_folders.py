"""Read trees of class folders: one tree, or one tree for each of training, validation and test.

class_folders      root/<class>/**
divided_folders    root/<train>/<class>/**, root/<val>/<class>/**, root/<test>/<class>/**

A class's folder may hold further folders; these do not count as classes.
"""

from cir.classes.datasets import division, folders, rules
from cir.classes.datasets.base import Findings
from cir.classes.datasets.params import ClassFolders, DividedFolders
from cir.images.splitting import Split


def splits(params: ClassFolders, seed: int) -> dict[str, Split]:
    """Divide one tree of class folders by shares; see make_splits."""
    findings = Findings(params.leave_out)
    folders.require_root(params.root)
    files = {"": folders.read_classes(params.root, "", findings)}
    pools = rules.of_one_class_each(folders.checked(files, params.processes(), findings), findings)
    place = f"in {folders.shown(params.root)}"
    images = rules.of_several_images(pools[""], place, rules.PAIRS, findings)
    # The order matters: a small class goes without validation rather than without test.
    shares = {"test": params.test, "val": params.val}
    parts = division.divide(params.divide, images, shares, findings, seed)
    parts |= division.queries_and_gallery(parts.pop("test"), params.query_share, seed)
    return rules.settled(params.source, parts, findings, False).splits(
        folders.stored(files, params.max_side)
    )


def divided_splits(params: DividedFolders, seed: int) -> dict[str, Split]:
    """Read a tree of class folders for each part; see make_splits."""
    findings = Findings(params.leave_out)
    folders.require_root(params.root)
    names = {"train": params.train, "val": params.val, "test": params.test}
    files = {
        pool: folders.read_classes(params.root / name, f"{name}/", findings)
        for pool, name in names.items()
        if name is not None
    }
    pools = folders.checked(files, params.processes(), findings)
    parts = division.of_given_parts(params, params.val_share, pools, findings, seed)
    return parts.splits(folders.stored(files, params.max_side))
