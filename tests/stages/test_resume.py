"""A stage that is stopped, whichever way, goes on where it was and ends as if it had not been."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cir.core import files
from tests.helpers.smoke_project import dvc
from tools import smoke

pytestmark = pytest.mark.recipes

# More steps than there are checkpoints to wait for, so that there is always something left to do.
LONGER = (
    "data.test_queries=112",
    "data.rows_per_shard=20",
    "embed_gallery.batch_size=1",
    "embed_gallery.workers=1",
    "train_tagger.steps=60",
    "train_tagger.evaluations=15",
    "pretrain_encoder.steps=20",
    "pretrain_encoder.evaluate_every=2",
)
RESULTS = {
    "train_tagger": ("models/tagger", "metrics/tagger.json", "metrics/curves/tagger.csv"),
    "pretrain_encoder": ("models/encoder_base", "metrics/curves/pretrain.csv"),
}
CHECKPOINTS = {
    "train_tagger": "checkpoint-*/average.pt",  # the last file of it
    "pretrain_encoder": "checkpoint.pt",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory, one_thread):
    """A clone in which the three stages have run without interruption."""
    project = smoke.clone(tmp_path_factory.mktemp("resume") / "project", uncommitted=True)
    smoke.choose(project, LONGER)
    smoke.repro(project, "train_tagger", "finetune_encoder")
    smoke.commit(project, "made")
    return project


def start(project, *arguments, **variables):
    """Start DVC as a shell does, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env={**smoke.environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def rerun(project, stage, **variables):
    return start(project, "repro", "--force", "--single-item", stage, **variables)


def stage_processes(running):
    """The processes below DVC that run a stage, by their parents in /proc; not a shell between."""
    parents, commands = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            commands[int(entry.name)] = (entry / "cmdline").read_text()
        except OSError:
            continue
        if after_name[0] != "Z":
            parents[int(entry.name)] = int(after_name[1])
    below, found = {running.pid}, set()
    while found != below:
        found = set(below)
        below |= {process for process, parent in parents.items() if parent in below}
    return sorted(process for process in below if "\0stages." in commands.get(process, ""))


def state(process):
    """The letter that /proc gives the state of a process, "Z" for one that is no more."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def alive(process):
    return state(process) != "Z"


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def checkpoint_times(folder, stage):
    times = set()
    for path in folder.glob(f"*/{CHECKPOINTS[stage]}"):
        try:
            times.add((path, path.stat().st_mtime_ns))
        except FileNotFoundError:  # removed meanwhile, for a later one
            continue
    return times


def stop_after_a_checkpoint(running, stage, folder, how):
    """Wait for a checkpoint that is new, stop the run `how`, and see that nothing of it is left."""
    before = checkpoint_times(folder, stage)
    wait_for(lambda: running.poll() is not None or checkpoint_times(folder, stage) - before)
    assert running.poll() is None, running.stdout.read()
    processes = stage_processes(running)
    assert processes
    how(running, processes)
    output, _ = running.communicate(timeout=60)
    assert running.returncode != 0, output
    wait_for(lambda: not any(map(alive, processes)), seconds=20)
    return output


def kill_stage(running, processes):
    # With those that load its data: torch ends them seconds later, but not one that has only just
    # begun and never saw its parent alive. Stopped processes begin no more of them.
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
    wait_for(lambda: not any(state(process) in "RSD" for process in processes))
    for process in {*processes, *stage_processes(running)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def terminate_dvc(running, processes):
    running.terminate()


def interrupt_all(running, processes):
    os.killpg(running.pid, signal.SIGINT)  # what a terminal does for Ctrl-C


def kill_dvc(running, processes):
    running.kill()


def contents(project, stage):
    found = {}
    for name in RESULTS[stage]:
        path = project / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            found[str(file.relative_to(project))] = file.read_bytes()
    assert len(found) > 1
    return found


# What becomes of the processes is the same for every stage; what is in a checkpoint is not, but all
# that train encoders and embedders have the loop of cir.training.shared.loop.
STOPS = {
    "train_tagger": [kill_stage, interrupt_all],
    "pretrain_encoder": [kill_dvc, terminate_dvc],
}


@pytest.mark.parametrize("stage", STOPS)
def test_stopped_several_times_it_ends_as_if_it_had_not_been(project, stage):
    whole = contents(project, stage)
    folder = project / ".checkpoints"
    assert not folder.exists() or not any(folder.iterdir())
    for number, how in enumerate(STOPS[stage]):
        output = stop_after_a_checkpoint(rerun(project, stage), stage, folder, how)
        assert ("resuming" in output) is (number > 0)
        assert not (project / RESULTS[stage][0]).exists()
    last = rerun(project, stage)
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0, output
    assert "resuming" in output
    assert contents(project, stage) == whole
    assert not any(folder.iterdir())
    assert not [path for path in project.rglob("*.partial") if ".dvc" not in path.parts]


def test_two_at_once_and_the_second_is_refused(project):
    first = rerun(project, "pretrain_encoder")
    folder = project / ".checkpoints"
    wait_for(lambda: checkpoint_times(folder, "pretrain_encoder"))
    stage, *_ = stage_processes(first)
    os.kill(stage, signal.SIGSTOP)
    try:
        second = subprocess.run(
            [sys.executable, "-m", "stages.pretrain_encoder"],
            cwd=project,
            env=smoke.environment(),
            capture_output=True,
            text=True,
        )
    finally:
        os.kill(stage, signal.SIGCONT)
    assert second.returncode == 1
    sentence = "error: another process is writing models/encoder_base; wait for it or stop it"
    assert second.stderr.splitlines()[-1].startswith(sentence)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 0, output


def test_a_killed_dvc_takes_the_processes_of_a_launcher_with_it(project):
    launcher = {"CIR_LAUNCH": "torchrun --nproc_per_node 2", "ACCELERATE_USE_CPU": "true"}
    folder = project / ".checkpoints"
    running = rerun(project, "pretrain_encoder", **launcher)
    wait_for(lambda: running.poll() is not None or checkpoint_times(folder, "pretrain_encoder"))
    assert running.poll() is None, running.stdout.read()
    processes = stage_processes(running)
    assert len(processes) >= 3, "torchrun and two that train"
    running.kill()
    running.wait()
    running.stdout.close()
    wait_for(lambda: not any(map(alive, processes)), seconds=20)
    shutil.rmtree(folder)
    dvc(project, "checkout", "models/encoder_base")


def test_an_experiment_outside_the_workspace_resumes_if_checkpoints_have_a_place(project, tmp_path):
    choices = [f"-S{choice}" for choice in (*smoke.CHOICES, *LONGER, "seed=5")]
    command = ["exp", "run", "--temp", *choices, "train_tagger"]
    place = {"CIR_CHECKPOINTS": str(tmp_path)}
    stop_after_a_checkpoint(start(project, *command, **place), "train_tagger", tmp_path, kill_stage)
    again = start(project, *command, **place)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert "resuming" in output
    assert not any(tmp_path.iterdir())


def test_a_killed_embedding_goes_on_with_the_next_shard(project):
    def embed():
        return subprocess.Popen(
            [sys.executable, "-m", "stages.embed_gallery"],
            cwd=project,
            env=smoke.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finished_shards():
        return list((project / ".checkpoints").glob("embed_gallery-*/*.npy"))

    killed = embed()
    wait_for(lambda: killed.poll() is not None or finished_shards())
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (project / "data" / "embeddings").exists()
    resumed = embed()
    output, _ = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, output
    assert "images were embedded before" in output
    fingerprint = files.fingerprint(project / "data" / "embeddings")
    assert not finished_shards()
    whole = embed()
    output, _ = whole.communicate(timeout=60)
    assert "embedded before" not in output
    assert files.fingerprint(project / "data" / "embeddings") == fingerprint
