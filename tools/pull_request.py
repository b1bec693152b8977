"""Write what a pull request changes: python -m tools.pull_request --base REV > comment.md

The Markdown has the gate's table, the metrics and params that differ from the base, and whether a
lock file is stale.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from cir.commands import gate
from cir.core.errors import UserError
from tools.stale_lock import stale

# The hidden first line lets tools/post_comment.sh find the comment that it wrote before.
MARKER = "<!-- what this pull request changes -->"
GATE_FILE = Path("metrics_gate.yaml")
_LONG = 25  # a table with more lines is shown folded


def comment(base: str) -> str:
    """Compare the current folder with the git revision `base`, in Markdown.

    Raises UserError if git does not know the revision or DVC cannot compare.
    """
    sections = [
        MARKER,
        f"## Against `{base}`",
        *_gate_section(base),
        "### Metrics",
        _diff("metrics", base),
        "### Params",
        _diff("params", base),
        "### Lock files",
        _lock_section(),
    ]
    return "\n\n".join(sections) + "\n"


def _gate_section(base: str) -> list[str]:
    verdicts = gate.judge_files(GATE_FILE, base)
    found = gate.problems(verdicts)
    title = "### Gate: " + ("failed" if found else "passed")
    return [title, gate.markdown(verdicts), *([_bullets(found)] if found else [])]


def _diff(kind: str, base: str) -> str:
    """Return DVC's table of the metrics or params (the `kind`) that differ from `base`."""
    words = [sys.executable, "-m", "dvc", kind, "diff", "--md", "--no-path", base]
    finished = subprocess.run(words, capture_output=True, text=True, encoding="utf-8")
    complaint = " ".join(finished.stderr.split())
    if finished.returncode != 0:
        raise UserError(f"dvc {kind} diff failed: {complaint}")
    table = finished.stdout.strip()
    lines = table.count("\n") - 1  # two lines are the head
    if lines < 1:
        table = f"No {kind.removesuffix('s')} changed."
    elif lines > _LONG:
        table = f"<details><summary>{lines} {kind} changed</summary>\n\n{table}\n\n</details>"
    return f"{table}\n\n{complaint}" if complaint else table


def _lock_section() -> str:
    lines = stale()
    if not lines:
        return "Fresh: they fit this code, these params and every `dvc.yaml`."
    return f"**Stale**: run `dvc repro` and commit every `dvc.lock`.\n\n{_bullets(lines)}"


def _bullets(sentences: list[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.pull_request", description=__doc__)
    parser.add_argument("--base", required=True, metavar="REV", help="the revision to compare with")
    try:
        print(comment(parser.parse_args().base), end="")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
