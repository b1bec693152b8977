"""Send files between the machines of a cluster that share no folder, through a storage service.

$CIR_SHARED names a place in it by an address that fsspec reads, as DVC's remotes have:
s3://bucket/folder, gs://..., abfs://..., sftp://..., or file:///folder.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cir.core import files
from cir.core.errors import UserError, reason_of

VARIABLE = "CIR_SHARED"


@dataclass(frozen=True)
class SharedStorage:
    """A folder at an address of fsspec. Every method raises UserError if it cannot be used."""

    url: str

    @classmethod
    def asked(cls) -> "SharedStorage | None":
        """Return the storage that the environment names, or None."""
        url = os.environ.get(VARIABLE, "")
        return cls(url.rstrip("/")) if url else None

    def has(self, name: str) -> bool:
        """Tell whether a file of this name is there, whole."""
        with self._files() as (storage, folder):
            return storage.exists(f"{folder}/{name}")

    def put(self, path: Path, name: str) -> None:
        """Copy a local file there; it appears under its name when it is whole."""
        with self._files() as (storage, folder):
            storage.makedirs(folder, exist_ok=True)
            unfinished = f"{folder}/.{name}.{secrets.token_hex(4)}"
            storage.put_file(str(path), unfinished)
            storage.mv(unfinished, f"{folder}/{name}")

    def get(self, name: str, path: Path) -> None:
        """Copy a file from there to a local path, where it appears when it is whole."""
        with self._files() as (storage, folder), files.whole_file(path) as unfinished:
            storage.get_file(f"{folder}/{name}", str(unfinished))

    def remove(self, name: str) -> None:
        """Remove a file there, if it is there."""
        with self._files() as (storage, folder):
            if storage.exists(f"{folder}/{name}"):
                storage.rm_file(f"{folder}/{name}")

    @contextmanager
    def _files(self) -> Iterator[tuple]:
        import fsspec

        try:
            storage, folder = fsspec.core.url_to_fs(self.url)
            storage.invalidate_cache()  # others write there
            yield storage, folder.rstrip("/")
        except UserError:
            raise
        except Exception as error:  # each service raises errors of its own
            raise UserError(
                f"{VARIABLE}: the storage {self.url} cannot be used: {reason_of(error)}"
            ) from error
