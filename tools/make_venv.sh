# Make .venv with the pinned packages; the file .venv/ready marks it as complete.
set -eu

find_python() {
    without_venv=
    for candidate in python3 python3.12 python3.11 python3.10 python; do
        "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
            >/dev/null 2>&1 || continue
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
        without_venv=$candidate
    done
    if [ -n "$without_venv" ]; then
        echo "error: $without_venv lacks the module venv or ensurepip;" \
            "install it (on Debian and Ubuntu: the package python3-venv), then run make again" >&2
    else
        found=$(python3 --version 2>&1) || found="no python3"
        echo "error: Python 3.10, 3.11 or 3.12 is needed and none was found ($found);" \
            "install one, then run make again" >&2
    fi
    return 1
}

if [ -e .venv/ready ]; then
    rm .venv/ready # so that the next run starts afresh if this one is interrupted
else
    python=$(find_python)
    echo "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

echo "installing the pinned packages (about 2 GB on disk; takes minutes)"
quiet=-q
[ -t 1 ] && quiet=
# Python compiles a module when it is first imported, and a run imports a tenth of the 18,000 here.
# Where Python may not keep what it compiles, pip compiles them all now.
compile=--no-compile
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || compile=--compile
.venv/bin/python -m pip install $quiet --disable-pip-version-check $compile -r requirements.txt
# Install the command .venv/bin/cir, which runs the code of this folder.
.venv/bin/python -m pip install $quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable .
touch .venv/ready
