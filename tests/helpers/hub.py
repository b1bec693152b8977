"""A model hub on loopback: speaks the protocol of the hub's client, and answers with faults.

The client reads HF_ENDPOINT and HF_HOME when it is imported, so what uses this hub runs in a
process of its own, with `Hub.variables`.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cir.core.files import file_digest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_RESOLVE = re.compile(r"/(?P<repository>[^?]+?)/resolve/[^/]+/(?P<file>[^?]+)")
_API = re.compile(
    r"/api/models/(?P<repository>[^?]+?)(/revision/[^/?]+|/tree/[^/?]+(?P<inside>/[^?]*)?)?(\?.*)?"
)
_STATUS = {"401": 401, "403": 403, "503": 503}


class Hub:
    """Serves folders as repositories: HEAD and GET of their files, ranges, and their listings.

    Args:
        repositories: the folder of each repository, by its name.
        faults: the fault of a repository, by its name:
            "401", "403", "503": every answer has this status;
            "gated": 403, as for a model whose terms the user has not accepted;
            "cut": the first answer with a file's content ends in the middle, as if cut;
            "cut, no ranges": the same, and ranges are ignored;
            "cut always": no answer with a file's content has a single byte of it;
            "no hub": no header of the hub's, as from a proxy's page;
            "wrong hash": the hub's digests are those of other files.
    """

    def __init__(self, repositories: dict[str, Path], faults: dict[str, str] | None = None):
        self.repositories = repositories
        self.faults = faults or {}
        self.seen: list[tuple[str, str, str | None]] = []  # method, path, range
        self.digests: dict[Path, str] = {}
        self.was_cut: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Hub":
        self._thread.start()
        return self

    def __exit__(self, *problem) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def variables(self, home: Path) -> dict[str, str]:
        """Return the variables of a process that uses this hub and a cache of its own."""
        address = {"HF_ENDPOINT": self.address, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        # Loading a submission sets both in this process.
        return {**address, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}

    def digest(self, path: Path) -> str:
        if path not in self.digests:
            self.digests[path] = file_digest(path)
        return self.digests[path]


class _Handler(BaseHTTPRequestHandler):
    """Answers one client; the server that it belongs to knows the self.server.hub."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_content=False)

    def do_GET(self) -> None:
        self.answer(with_content=True)

    def answer(self, with_content: bool) -> None:
        self.server.hub.seen.append((self.command, self.path, self.headers.get("Range")))
        asked = _RESOLVE.match(self.path) or _API.fullmatch(self.path)
        repository = asked["repository"] if asked else None
        fault = self.server.hub.faults.get(repository, "")
        if fault in _STATUS:
            self.refuse(_STATUS[fault])
        elif fault == "gated":
            self.refuse(403, "GatedRepo")
        elif fault == "no hub":
            self.reply(200, b"<html>log in to this network</html>", {})
        elif repository not in self.server.hub.repositories:
            self.refuse(404, "RepoNotFound")
        elif asked.re is _API and asked["inside"]:  # no repository here has inner folders
            self.refuse(404, "EntryNotFound")
        elif asked.re is _API:
            self.list_files(self.server.hub.repositories[repository])
        else:
            self.send_file(repository, asked["file"], fault, with_content)

    def list_files(self, folder: Path) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in paths]
        listing = {
            "id": folder.name,
            "sha": COMMIT,
            "siblings": [{"rfilename": n} for n in names],
        }
        if "/tree/" in self.path:
            sizes = [path.stat().st_size for path in paths]
            listing = [
                {"type": "file", "path": name, "size": size, "oid": COMMIT}
                for name, size in zip(names, sizes, strict=True)
            ]
        self.reply(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

    def send_file(self, repository: str, name: str, fault: str, with_content: bool) -> None:
        path = self.server.hub.repositories[repository] / name
        if not path.is_file():
            self.refuse(404, "EntryNotFound")
            return
        digest, size = self.server.hub.digest(path), path.stat().st_size
        if fault == "wrong hash":
            digest = hashlib.sha256(digest.encode()).hexdigest()
        start = 0
        if with_content and fault != "cut, no ranges":
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(asked[1]) if asked else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if with_content:
            end = size
            if fault == "cut always":
                end = start
            elif fault.startswith("cut") and self.path not in self.server.hub.was_cut:
                self.server.hub.was_cut.add(self.path)
                end = start + (size - start) // 2
            self.write(path, start, end)
            if end < size:
                self.close_connection = True

    def write(self, path: Path, start: int, end: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            while start < end and (block := file.read(min(1 << 20, end - start))):
                self.wfile.write(block)
                start += len(block)

    def refuse(self, status: int, code: str | None = None) -> None:
        headers = {"X-Repo-Commit": COMMIT}
        if code is not None:
            headers["X-Error-Code"] = code
        self.reply(status, b"", headers)

    def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def publish(encoder, folder: Path) -> Path:
    """Write an Encoder in the layout of a repository of the hub, into a new folder; return it."""
    folder.mkdir()
    encoder.save(folder)
    (folder / "prompt.json").unlink()
    return folder
