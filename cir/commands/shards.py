"""Write images as the shards that embedding reads: cir shards."""

import argparse
from pathlib import Path

from cir.commands.options import count
from cir.core.progress import say

_NAMED = 20


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    sharding = commands.add_parser("shards", help="write images as shards, in parallel")
    about = (
        "a folder of images or of tar files (as WebDataset and img2dataset write them), one tar "
        "file, or a text file with one path a line"
    )
    sharding.add_argument("source", type=Path, metavar="FOLDER|LIST", help=about)
    about = "the folder for the shards; a stopped run goes on where it was"
    sharding.add_argument("--out", type=Path, required=True, metavar="DIR", help=about)
    about = "the most images of a shard, which has at most 256 MiB; default: 5,000"
    sharding.add_argument("--images", type=count, default=5_000, metavar="N", help=about)
    about = "the number of processes; default: one per core"
    sharding.add_argument("--workers", type=count, default=0, metavar="N", help=about)
    sharding.set_defaults(run=_shards)


def _shards(options: argparse.Namespace) -> str:
    """Write the shards, name the bad images, and count all."""
    from cir.datasets import sharding  # this import takes seconds

    report = sharding.write_shards(
        options.source, options.out, options.images, workers=options.workers
    )
    for sentence in report.bad[:_NAMED]:
        say(f"left out: {sentence}")
    if report.left_out:
        say(report.left_out)
    told = f"{options.out}: {report.images:,} images in {report.files:,} shards"
    return f"{told}; {len(report.bad):,} bad images were left out" if report.bad else told
