"""Check whether the service still fits the model and the index on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

from cir.app.search_model import SearchModel
from cir.app.stores.base import Store
from cir.app.stores.records import StoreInfo
from cir.core import files
from cir.core.errors import UserError

_Look = tuple[tuple[str, int, int, int], ...]


class LoadedFiles:
    """Notices changes of a model's files after the model was loaded.

    Create it before the model is loaded, so that it notices a change in between too.

    Args:
        folders: the folders of the encoder and the tagger.
    """

    def __init__(self, folders: Sequence[Path | str]):
        self._folders = tuple(Path(folder) for folder in folders)
        self._known = self._looks()
        self._content = self._contents()
        self._found: str | None = None  # by the last check
        self._lock = Lock()

    def changed(self) -> str | None:
        """Return a sentence that names the folder whose files have changed, or None.

        The content is read again only if names, sizes or times differ from the last check.
        """
        with self._lock:
            looks = self._looks()
            if looks != self._known:
                self._found = self._compared()
                self._known = looks
            return self._found

    def _compared(self) -> str | None:
        for folder, old, new in zip(self._folders, self._content, self._contents(), strict=True):
            if old != new:
                return (
                    f"the files in {folder} have changed since the service loaded its model; "
                    "restart the service to load them (and index again for a new encoder)"
                )
        return None  # the times changed, but not the content

    def _looks(self) -> tuple[_Look, ...]:
        return tuple(_look(folder) for folder in self._folders)

    def _contents(self) -> tuple[str | None, ...]:
        return tuple(_content(folder) for folder in self._folders)


class Readiness:
    """Says whether the service can answer, with the model and the index that are on disk.

    Args:
        model, store: the model and the store of the service.
        loaded: notices changes of the model's files.
        held: reads again which model the store belongs to. The default returns what the store
            said when it was opened, which is right if no other process can open the store.
    """

    def __init__(
        self,
        model: SearchModel,
        store: Store,
        loaded: LoadedFiles | None = None,
        held: Callable[[], StoreInfo] | None = None,
    ):
        self._model = model
        self._store = store
        self._loaded = loaded
        self._held = held or (lambda: store.info)

    def problem(self) -> str | None:
        """Return a sentence that says why the service is not ready, or None if it is ready."""
        if self._loaded is not None and (sentence := self._loaded.changed()) is not None:
            return sentence
        try:
            self._store.count()
            held, loaded = self._held().fingerprint, self._model.fingerprint()
        except UserError as error:
            return str(error)
        if held == loaded:
            return None
        return (
            f"the store holds vectors of the model {held}, but this service has loaded the model "
            f"{loaded}: restart it with that model, or index again"
        )


def _look(folder: Path) -> _Look:
    try:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return tuple(
            (str(p), s.st_size, s.st_mtime_ns, s.st_ino) for p in found for s in [p.stat()]
        )
    except OSError:  # another process is replacing the folder
        return ()


def _content(folder: Path) -> str | None:
    try:
        return files.fingerprint(folder)
    except (UserError, OSError):
        return None
