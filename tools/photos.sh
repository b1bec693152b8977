# Make the photos of a folder searchable and serve them, for make photos FOLDER=...
# With the argument "check", only check $FOLDER; all other arguments are options of cir serve.
set -eu

python=.venv/bin/python
models=${CIR_MODELS:-models}
folder=${FOLDER:-}
case $folder in
"~") folder=$HOME ;;
"~"/*) folder=$HOME/${folder#"~/"} ;; # not every shell replaces ~ after FOLDER=
esac

if [ -z "$folder" ]; then
    echo "error: FOLDER names no folder: run make photos FOLDER=~/Pictures, with your own folder" >&2
    exit 1
fi
if [ ! -d "$folder" ]; then
    echo "error: FOLDER=$folder is not a folder: give one that holds photos, at any depth" >&2
    exit 1
fi
[ "${1:-}" != check ] || exit 0

[ -d "$models/photos" ] || $python -m cir models get photos
$python -m cir index "$folder" --store "$STORE" --model photos
exec $python -m cir serve --store "$STORE" "$@"
