"""Training over nodes: two of them on loopback train as one process, and faults are sentences."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from cir.core import distributed
from cir.core.errors import UserError
from tests.helpers import ROOT

pytestmark = pytest.mark.recipes

# A line is fitted to points, of which each process takes its slice. "--slow" waits at every step.
TRAINING = """
import os, sys, time
from pathlib import Path
import cir
import torch
from accelerate import PartialState
from cir.core import distributed
from cir.core.errors import UserError
from cir.training.shared.loop import fit
from tests.helpers.schedules import schedule

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.manual_seed(0)
PartialState(cpu=True)

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x):
        found = distributed.gather(self.layer(x[distributed.own_slice(len(x))]))
        return {"square": (found - x.sum(1, keepdim=True)).square().mean()}

class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, step):
        time.sleep(0.1 * ("--slow" in sys.argv))
        return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))

line = Line()
groups = [{"params": list(line.parameters()), "lr": 0.1}]
plan = schedule(40, evaluate_every=5)
try:
    history = fit(line, groups, Points(), lambda: {"score": 0.0}, plan, 0, folder, "a line")
except UserError as error:
    sys.exit(f"error: {error}")
if distributed.is_main_process():
    torch.save({"losses": [row["loss"] for row in history], **line.state_dict()}, out)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "training.py"
    path.write_text(TRAINING)
    return path


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def node(number, port):
    return (
        *("-m", "torch.distributed.run", "--nnodes", "2", "--node_rank", str(number)),
        *("--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)),
    )


def start_nodes(script, folders, out, slow=False):
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [sys.executable, *node(number, port), str(script), str(folder), str(out)]
            + ["--slow"] * slow,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, folder in enumerate(folders)
    ]


def ended(running):
    outputs = [one.communicate(timeout=90)[0] for one in running]
    return [one.returncode for one in running], outputs


def alone(script, folder, out):
    subprocess.run(
        [sys.executable, str(script), str(folder), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=90,
    )
    return torch.load(out)


def same(one, other):
    assert one.keys() == other.keys()
    torch.testing.assert_close(
        torch.tensor(other["losses"]), torch.tensor(one["losses"]), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(other["layer.weight"], one["layer.weight"], rtol=1e-4, atol=1e-6)


def worker_of(launcher):
    """The number of the process that a launcher has started."""
    for _ in range(600):
        for line in os.popen(f"ps -o pid= --ppid {launcher.pid}").read().split():
            return int(line)
        time.sleep(0.05)
    raise AssertionError("no worker")


def test_two_nodes_have_the_losses_of_one_process(script, tmp_path):
    one = alone(script, tmp_path / "alone", tmp_path / "one.pt")
    folders = [tmp_path / "shared"] * 2
    statuses, outputs = ended(start_nodes(script, folders, tmp_path / "two.pt"))
    assert statuses == [0, 0], outputs
    same(one, torch.load(tmp_path / "two.pt"))


def test_a_lost_worker_ends_the_job_with_a_sentence_and_the_next_start_resumes(script, tmp_path):
    one = alone(script, tmp_path / "alone", tmp_path / "one.pt")
    shared, out = tmp_path / "shared", tmp_path / "two.pt"
    running = start_nodes(script, [shared, shared], out, slow=True)
    while not (shared / "checkpoint.pt").exists():
        assert all(launcher.poll() is None for launcher in running), ended(running)
        time.sleep(0.05)
    os.kill(worker_of(running[1]), signal.SIGKILL)
    statuses, outputs = ended(running)
    assert all(statuses), outputs
    assert "another of the 2 processes of this training was lost" in outputs[0], outputs
    assert not out.exists()
    statuses, outputs = ended(start_nodes(script, [shared, shared], out))
    assert statuses == [0, 0], outputs
    assert "resuming after step" in outputs[0]
    same(one, torch.load(out))


def test_nodes_that_do_not_share_their_checkpoints_are_told_so(script, tmp_path):
    shared = tmp_path / "mine" / "line"
    alone(script, shared, tmp_path / "one.pt")  # leaves the checkpoint of the last step
    folders = [shared, tmp_path / "other" / "line"]
    statuses, outputs = ended(start_nodes(script, folders, tmp_path / "two.pt"))
    assert all(statuses), outputs
    assert "set CIR_CHECKPOINTS to a folder that all nodes share" in "".join(outputs)


def test_nodes_with_other_code_or_params_are_told_so(script, tmp_path):
    folders = [tmp_path / "line-0a", tmp_path / "line-1b"]
    statuses, outputs = ended(start_nodes(script, folders, tmp_path / "two.pt"))
    assert all(statuses), outputs
    assert "do not have the same code, params and data" in "".join(outputs)


def test_other_errors_are_not_taken_for_a_lost_process():
    with pytest.raises(RuntimeError, match="shapes"), distributed.said_if_another_is_lost():
        raise RuntimeError("shapes differ")
    with pytest.raises(UserError, match="was lost"), distributed.said_if_another_is_lost():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:1")
