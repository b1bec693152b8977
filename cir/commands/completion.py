"""Print a script that makes a shell complete commands and options: cir completion SHELL."""

import argparse

_SHELLS = ("bash", "zsh")


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    about = 'print a completion script for a shell: eval "$(cir completion bash)"'
    completing = commands.add_parser("completion", help=about)
    completing.add_argument("shell", choices=_SHELLS)
    completing.set_defaults(run=_complete)


def _complete(options: argparse.Namespace) -> str:
    import shtab

    from cir.commands.main import parser

    return shtab.complete(parser(), options.shell)
