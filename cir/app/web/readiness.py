"""Whether the service answers with what lies on the disk now, and says why if it does not."""

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
    """The files of a model as they were when it was loaded.

    Make it before the model is loaded: a change in between is then told too.

    Args:
        folders: of encoder and tagger.
    """

    def __init__(self, folders: Sequence[Path | str]):
        self._folders = tuple(Path(folder) for folder in folders)
        self._known = self._looks()
        self._content = self._contents()
        self._found: str | None = None  # by the last look
        self._lock = Lock()

    def changed(self) -> str | None:
        """A sentence that names the folder whose files are no longer those, or None.

        Contents are read again only where sizes, times or names are no longer those of the last
        time.
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
                    f"the files in {folder} are no longer those of the model that is served; "
                    "restart the service to load them (and index again for a new encoder)"
                )
        return None  # touched, or written again with the same content

    def _looks(self) -> tuple[_Look, ...]:
        return tuple(_look(folder) for folder in self._folders)

    def _contents(self) -> tuple[str | None, ...]:
        return tuple(_content(folder) for folder in self._folders)


class Readiness:
    """Whether the service can answer, and with what lies on the disk now.

    Args:
        model, store: what it answers with.
        loaded: the model's files, as they were before it was loaded.
        held: tells anew what the store is for; by default as it was when it was opened, which
            holds for a store that no other process can open.
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
        """Why the service is not ready, in a sentence; None if it is."""
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
            f"the store holds vectors of the model {held}, and this service has loaded the model "
            f"{loaded}: restart it with that model, or index again"
        )


def _look(folder: Path) -> _Look:
    try:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return tuple(
            (str(p), s.st_size, s.st_mtime_ns, s.st_ino) for p in found for s in [p.stat()]
        )
    except OSError:  # it is being replaced just now
        return ()


def _content(folder: Path) -> str | None:
    try:
        return files.fingerprint(folder)
    except (UserError, OSError):
        return None
