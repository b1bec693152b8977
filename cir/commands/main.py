"""Parse the command line and run one command."""

import argparse
import os
import sys
from collections.abc import Sequence

from cir.commands import (
    classes,
    completion,
    data,
    evaluate,
    gate,
    index,
    models,
    serve,
    shards,
    tag,
)
from cir.core.errors import UserError

COMMANDS = (tag, models, index, serve, evaluate, classes, shards, data, gate, completion)
# A plain installation leaves these modules out; each extra installs those that a command needs.
_EXTRAS = {
    "app": (
        *("fastapi", "fastapi_offline", "jinja2", "multipart", "prometheus_client"),
        *("qdrant_client", "qdrant_edge", "uvicorn"),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    A UserError, or a package that is not installed, ends the command with a sentence and status 1.
    """
    options = parser().parse_args(arguments)
    try:
        answer = options.run(options)
        if isinstance(answer, str):
            print(answer, flush=True)  # flushed here, so that a broken pipe is caught
            return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        sentence = _missing(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the program that read the output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return answer


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line.

    Each command sets `run`, which takes the options and returns an exit status, or a sentence to
    print.
    """
    made = argparse.ArgumentParser(
        prog="cir",
        description="Find images by words, by an image, or by an image and a change.",
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(commands)
    return made


def _missing(error: ModuleNotFoundError) -> str | None:
    """Say which extra installs the missing module, or return None if no extra does."""
    module = (error.name or "").split(".")[0]
    for extra, modules in _EXTRAS.items():
        if module in modules:
            return (
                f"this command needs the module {module}, which is not installed: "
                f"run pip install '.[{extra}]' in the project's folder"
            )
    return None
