"""Fetch files from the model hub, and say what went wrong there and what mends it.

The hub's client reads the variables HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE when it is imported.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from cir.core.errors import UserError, reason_of
from cir.core.files import file_digest, is_full_disk
from cir.core.progress import LogBar

_HTTP_CLIENTS = ("httpx", "httpx2")  # the name depends on the release of huggingface_hub


def fetch(repository: str, names: Sequence[str]) -> Path:
    """Download the first of `names` that a repository has, and compare it with the hub's digest.

    A file that is in the hub's cache already is compared, not downloaded. The hub gives digests of
    large files only, and without symbolic links the cache does not keep them; such a file passes.

    Args:
        repository: owner and name, such as "jienengchen/ViTamin-S".
        names: the names that the file may have, the preferred one first.

    Raises:
        UserError: the file's SHA-256 is not the hub's; the file is removed.
        Exception: errors of the hub's client, which `why_not_fetched` puts into words.
    """
    path = Path(_download(repository, names))
    stored = path.resolve()  # the cache names a large file by its SHA-256
    expected = stored.name
    if re.fullmatch(r"[0-9a-f]{64}", expected) and (found := file_digest(stored)) != expected:
        stored.unlink()
        path.unlink()
        raise UserError(
            f"{path.name} of {repository} came damaged from {constants.ENDPOINT}: its SHA-256 is "
            f"{found}, and the hub says {expected}; it was removed, so run again to fetch it anew"
        )
    return path


def _download(repository: str, names: Sequence[str]) -> str:
    bar = None if sys.stderr.isatty() else LogBar  # on a terminal, the client's own bar
    for name in names:
        try:
            return hf_hub_download(repository, name, tqdm_class=bar)
        except RemoteEntryNotFoundError:
            if name == names[-1]:
                raise
        except LocalEntryNotFoundError:  # the hub does not answer
            known = (try_to_load_from_cache(repository, other) for other in names)
            found = next((path for path in known if isinstance(path, str)), None)
            if found is None:
                raise
            return found
    raise AssertionError("no name was given")


def why_not_fetched(error: BaseException) -> str:
    """Return why a model could not be had, and what mends it, in one line.

    Libraries wrap the errors of the hub's client, so all errors behind `error` are looked at. If
    none is the client's, the result is the library's own message.
    """
    for one in _behind(error):
        if reason := _reason(one):
            return reason
    return reason_of(error)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors from which it was raised, the outermost one first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str | None:
    hub = f"the hub at {constants.ENDPOINT}"
    if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
        return _offline() if constants.is_offline_mode() else None  # else its cause says more
    if isinstance(error, HfHubHTTPError):
        return f"{hub} {_refusal(error)}"
    if isinstance(error, FileMetadataError):
        return (
            f"what answers at {constants.ENDPOINT} is not a model hub: check HF_ENDPOINT, and the "
            "proxy of this network"
        )
    if is_full_disk(error):
        return (
            f"the disk of the hub's cache, {constants.HF_HUB_CACHE}, is full: make room there, or "
            "name another folder with HF_HOME"
        )
    if "Consistency check failed" in str(error):
        return f"the connection to {hub} broke off, and nothing half was kept: run again"
    if type(error).__module__.partition(".")[0] in _HTTP_CLIENTS:
        return _unreachable(error)
    return None


def _offline() -> str:
    return (
        f"HF_HUB_OFFLINE is set, and the hub's cache, {constants.HF_HUB_CACHE}, does not have it: "
        "unset HF_HUB_OFFLINE, or name a cache that has it with HF_HOME"
    )


def _refusal(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return (
            f"gives it only to users who accepted its terms ({status}): accept them on its page, "
            "then log in with hf auth login, or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return (
            f"has no such model, or shows it to its members only ({status}): check the name, or "
            "log in with hf auth login, or set HF_TOKEN"
        )
    if status == 404:
        file = str(error.response.url).rpartition("/")[2]
        return f"does not have the file {file} of this model ({status}): check the name"
    return f"answers with the status {status}: run again later, or name a mirror with HF_ENDPOINT"


def _unreachable(error: BaseException) -> str:
    hub = f"the hub at {constants.ENDPOINT}"
    if type(error).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError"):
        return (
            f"{hub} cannot be reached ({reason_of(error)}): check the network, or name a mirror "
            "with HF_ENDPOINT"
        )
    return (
        f"the connection to {hub} broke off ({reason_of(error)}), and nothing half was kept: run "
        "again, or name a mirror with HF_ENDPOINT"
    )
