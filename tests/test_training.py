"""The training loop: it learns, keeps the best, resumes, and shares a batch between processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from cir.errors import UserError
from cir.training import Schedule, fit

ROOT = Path(__file__).resolve().parent.parent


class Line(nn.Module):
    """Fits y = 2x + 1, with dropout so that the order of random numbers shows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return {"square": (self.dropout(self.layer(x)) - 2 * x - 1).square().mean()}


class Points(Dataset):
    def __init__(self, steps, fatal=None):
        self.steps, self.fatal = steps, fatal

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        if step == self.fatal:
            raise KeyboardInterrupt
        return torch.randn(16, 1, generator=torch.Generator().manual_seed(step))


def schedule(steps=40, evaluate_every=10):
    return Schedule(
        steps=steps,
        warmup=0.1,
        gradient_clip=1.0,
        precision="no",
        evaluate_every=evaluate_every,
        workers=0,
        seed=3,
    )


def train(folder, line=None, steps=40, fatal=None, scores=None):
    line = line or Line()
    given = iter(scores or [])

    def validate():
        return {"score": next(given) if scores else -((line.layer.weight.item() - 2) ** 2)}

    groups = [{"params": list(line.parameters()), "lr": 0.1, "weight_decay": 0.0}]
    return line, fit(
        line, groups, Points(steps, fatal), validate, schedule(steps), folder, "a line"
    )


def test_it_learns_and_tells_how(tmp_path):
    line, history = train(tmp_path)
    assert [row["step"] for row in history] == [10, 20, 30, 40]
    assert history[-1]["square"] < history[0]["square"]
    assert history[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert line.layer.weight.item() == pytest.approx(2, abs=0.5)


def test_the_best_weights_win_and_of_equals_the_later(tmp_path):
    weights = []

    class Watched(Line):
        def eval(self):
            weights.append(self.layer.weight.item())
            return super().eval()

    line, _ = train(tmp_path, Watched(), scores=[0.5, 0.9, 0.9, 0.1])
    assert line.layer.weight.item() == weights[2]


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole, whole_history = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", fatal=25)
    resumed, history = train(tmp_path / "cut")
    assert history == whole_history
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    first, second = train(tmp_path / "a")[0], train(tmp_path / "b")[0]
    assert torch.equal(first.layer.weight, second.layer.weight)


def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path):
    line = Line()
    with torch.no_grad():
        line.layer.weight.fill_(float("inf"))
    with pytest.raises(UserError, match=r"a line: the loss became .* learning rate"):
        train(tmp_path, line)


SHARED = """
import sys
import torch
import cir
from accelerate import PartialState
from cir import distributed
from cir.batches import Pixels, plan_batches
from cir.composers import ArithmeticComposer
from cir.composition import CompositionBatches, CompositionObjective, shows
from cir.datasets.shards import ImageShards, read_triplets
from cir.encoders import Encoder
from cir.encoders.parameter_groups import all_layers, optimiser_groups
from cir.retriever import EncodedComposer
from cir.training import Schedule, fit

split, out = sys.argv[1:]
torch.manual_seed(0)
torch.set_num_threads(1)
PartialState(cpu=True)
model = EncodedComposer(
    Encoder.create("ViTamin-Micro-64", None, "{}"), ArithmeticComposer(False, False)
)
images, triplets = ImageShards(split), read_triplets(split)
objects = {name: images.objects(name) for name in images.ids}
keys = [shows(t.target, objects) for t in triplets]
plan = plan_batches(keys, 8, 4, 0, distributed.processes())
batches = CompositionBatches(
    Pixels(images, model.encoder), triplets, [t.edit for t in triplets], objects, plan, 1
)
groups = optimiser_groups(model.encoder, all_layers(model.encoder, 1.0), 1e-4, 0.05)
schedule = Schedule(4, 0.25, 1.0, "no", 2, 0, 0)
history = fit(
    CompositionObjective(model, 0.5, 0.5), groups, batches, lambda: {"score": 0.0}, schedule,
    __import__("pathlib").Path(out + "-checkpoints"), "both",
)
if distributed.is_main_process():
    losses = torch.tensor([row["loss"] for row in history])
    torch.save({"losses": losses, **model.state_dict()}, out)
"""


def run_shared(split, out, launcher):
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    script = out.with_suffix(".py")
    script.write_text(SHARED)
    command = [sys.executable, *launcher, str(script), str(split), str(out)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.load(out)


def test_two_processes_train_as_one_does(split, tmp_path):
    one = run_shared(split, tmp_path / "one", [])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    two = run_shared(split, tmp_path / "two", launcher)
    assert one.keys() == two.keys()
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-4, atol=1e-5)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-5, msg=name)
