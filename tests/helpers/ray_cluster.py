"""Start and kill the nodes of a Ray cluster on this machine, and hold what embeds on them."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from cir.core import files
from tests.helpers import ROOT

TOKEN = secrets.token_hex(32)
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
STARTS = 3  # Ray gives a node half a minute to start, which a busy machine may not have


class RayCluster:
    """Nodes of one processor each, on loopback addresses of this machine.

    The head has no processor, so that what a test adds is all there is.
    """

    def __init__(self):
        # A test's own folder has a path that is too long for the sockets of Ray.
        self._place = tempfile.TemporaryDirectory(prefix="ray")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.2:{free.getsockname()[1]}"
        self._nodes: list[subprocess.Popen] = []
        host, port = self.address.split(":")
        head = ("--head", "--port", port, "--num-cpus", "0", "--include-dashboard", "false")
        self._start(*head, "--node-ip-address", host, "--temp-dir", self._place.name)

    def add_node(self, number: int, code: Path = ROOT) -> subprocess.Popen:
        """Add a node, with the address 127.0.0.`number` and the code in a folder."""
        place = "--node-ip-address", f"127.0.0.{number}"
        return self._start("--address", self.address, "--num-cpus", "1", *place, code=code)

    def _start(self, *options: str, code: Path = ROOT, tries: int = STARTS) -> subprocess.Popen:
        store = "--object-store-memory", str(100 << 20)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *store]
        node = subprocess.Popen(
            [*command, *options],
            env={**os.environ, **AUTH, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"},
            cwd=self._place.name,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = ""
        while "Ray runtime started" not in said:
            line = node.stdout.readline()
            if not line:
                node.wait()
                assert tries > 1, f"a node did not start: {said}"
                return self._start(*options, code=code, tries=tries - 1)
            said += line
        self._nodes.append(node)
        return node

    def kill(self, node: subprocess.Popen) -> None:
        """Kill a node with all its processes, as a loss of power does."""
        for process in [*psutil.Process(node.pid).children(recursive=True), node]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        node.wait()
        node.stdout.close()
        self._nodes.remove(node)

    def stop(self) -> None:
        for node in reversed(self._nodes):
            self.kill(node)
        self._place.cleanup()


class HeldEncoder:
    """A fixed projection of small images; notes each batch in a file, and waits if a test says so.

    A line has the process and the sum of the first image. While a file with the suffix .hold stands
    beside the log, batches after as many lines as it says wait. `own` makes the fingerprint that of
    a process, and `deadly` ends the process that encodes an image with this sum.
    """

    device = torch.device("cpu")
    image_size = (8, 8)

    def __init__(self, log: Path, own: bool = False, deadly: int | None = None):
        self._log, self._own, self._deadly, self._made_by = log, own, deadly, os.getpid()

    def fingerprint(self) -> str:
        return f"held {os.getpid() == self._made_by or not self._own}"

    def preprocess(self, image) -> np.ndarray:
        return np.asarray(image.resize((8, 8)), dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        with self._log.open("a") as log:
            log.write(f"{os.getpid()} {pixels[0].sum()}\n")
        if pixels[0].sum() == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)  # as a system does that runs out of memory
        line = len(batches(self._log))
        while line > held_after(self._log):
            time.sleep(0.05)
        weight = torch.randn(3 * 64, 16, generator=torch.Generator().manual_seed(0))
        return pixels.float().flatten(1) @ weight


def hold(log: Path, lines: int) -> None:
    """Let batches wait after so many lines of the log."""
    files.write_json(log.with_suffix(".hold"), lines)


def release(log: Path) -> None:
    """Let all batches go on."""
    log.with_suffix(".hold").unlink()


def held_after(log: Path) -> float:
    try:
        return int(log.with_suffix(".hold").read_text())
    except FileNotFoundError:
        return float("inf")


def batches(log: Path) -> list[tuple[int, str]]:
    """Return the process and the first image of every batch that was begun."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]
