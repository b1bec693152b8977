# Stop with one sentence if DVC cannot work here: it needs git, and a clone with a commit.
set -eu

if ! command -v git >/dev/null 2>&1; then
    echo "error: git was not found; install it, then run make again" >&2
    exit 1
fi
if [ ! -e .git ]; then
    echo "error: this folder is not a git clone (DVC needs one):" \
        "get the project with 'git clone' instead of downloading its files" >&2
    exit 1
fi
if ! reason=$(git rev-parse --verify HEAD 2>&1); then
    echo "error: git cannot read the history of this clone ($reason);" \
        "clone the project again" >&2
    exit 1
fi
