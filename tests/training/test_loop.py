"""The training loop: it learns, keeps the best, resumes, and shares a batch between processes."""

import os
import subprocess
import sys

import pytest
import torch
from accelerate import DistributedType
from torch import nn
from torch.utils.data import Dataset

from cir.core.errors import UserError
from cir.training.shared import loop
from cir.training.shared.loop import fit
from cir.training.shared.optimisers import MomentumInPeriods, adamw_with_cosine, muon_with_cosine
from tests.helpers import ROOT
from tests.helpers.schedules import schedule


class Line(nn.Module):
    """Fits y = 2x + 1, with dropout so that the order of random numbers shows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = x.to(self.layer.weight.device)  # training moves the weights to a GPU if there is one
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


def train(folder, line=None, steps=40, fatal=None, scores=None, optimiser=adamw_with_cosine):
    line = line or Line()
    given = iter(scores or [])

    def validate():
        return {"score": next(given) if scores else -((line.layer.weight.item() - 2) ** 2)}

    rates = {"lr": 0.1, "weight_decay": 0.0}
    groups = [{"params": [line.layer.weight], "matrices": True, **rates}]
    groups += [{"params": [line.layer.bias], "matrices": False, **rates}]
    points, plan = Points(steps, fatal), schedule(steps, evaluate_every=10)
    return line, fit(line, groups, points, validate, plan, 3, folder, "a line", optimiser=optimiser)


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


@pytest.mark.parametrize(
    "optimiser", [adamw_with_cosine, muon_with_cosine, MomentumInPeriods(0.9, 15, 0.1)]
)
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(optimiser, tmp_path):
    whole, whole_history = train(tmp_path / "whole", optimiser=optimiser)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", fatal=25, optimiser=optimiser)
    resumed, history = train(tmp_path / "cut", optimiser=optimiser)
    assert history == whole_history
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


class Slope(nn.Module):
    """Two weights, pulled down by 3 and by 1 at every step."""

    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(5.0))

    def forward(self, batch):
        return {"slope": 3 * self.slow + self.fast}


def test_momentum_and_periods_by_hand(tmp_path):
    slope = Slope()
    groups = [{"params": [slope.slow], "lr": 0.01, "weight_decay": 0.0}]
    groups += [{"params": [slope.fast], "lr": 0.1, "weight_decay": 0.5}]
    plan = schedule(5, evaluate_every=1, warmup=0.0, gradient_clip=None)
    optimiser = MomentumInPeriods(momentum=0.9, period=2, factor=0.1)
    history = fit(
        slope,
        groups,
        Points(5),
        lambda: {"score": 0.0},
        plan,
        0,
        tmp_path,
        "x",
        optimiser=optimiser,
    )
    # What is reported is the rate to go on with, of the last group.
    rates = [row["learning_rate"] for row in history]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001, 0.001])
    slow = fast = 5.0
    slow_speed = fast_speed = 0.0
    for factor in (1, 1, 0.1, 0.1, 0.01):
        slow_speed, fast_speed = 0.9 * slow_speed + 3, 0.9 * fast_speed + 1 + 0.5 * fast
        slow, fast = slow - 0.01 * factor * slow_speed, fast - 0.1 * factor * fast_speed
    assert slope.slow.item() == pytest.approx(slow, rel=1e-6)
    assert slope.fast.item() == pytest.approx(fast, rel=1e-6)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    first, second = train(tmp_path / "a")[0], train(tmp_path / "b")[0]
    assert torch.equal(first.layer.weight, second.layer.weight)


def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path):
    line = Line()
    with torch.no_grad():
        line.layer.weight.fill_(float("inf"))
    with pytest.raises(UserError, match=r"a line: the loss became .* learning rate"):
        train(tmp_path, line)


def test_a_launcher_that_would_shard_the_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SHARDING", (DistributedType.NO,))  # as if it were FSDP
    with pytest.raises(UserError, match="choose DDP"):
        train(tmp_path)


SHARED = """
import sys
import torch
import cir
from accelerate import PartialState
from cir.core import distributed
from cir.training.shared.batches import Pixels, plan_batches
from cir.composers.corrected_arithmetic import CorrectedArithmetic
from cir.composers.params import CorrectedArithmeticParams
from cir.training.composition import CompositionBatches, CompositionObjective, shows
from cir.images.shards import ImageShards, read_triplets
from cir.encoders import Encoder
from cir.training.shared.parameter_groups import all_layers, encoder_groups
from cir.composers.model import EncodedComposer
from cir.training.shared.loop import fit
from tests.helpers.composers import params
from tests.helpers.schedules import schedule

split, out = sys.argv[1:]
torch.manual_seed(0)
torch.set_num_threads(1)
PartialState(cpu=True)
class WithLossesOfItsOwn(CorrectedArithmetic):
    # One is a mean over rows, the other a comparison of all rows.

    def auxiliary_losses(self, image, edit, query, target, loss):
        return {"rows": (query - edit.text).square().mean(), "pairs": 0.1 * loss(target, image)}

encoder = Encoder.create("ViTamin-Micro-64", None, "{}")
settings = CorrectedArithmeticParams(**params("corrected_arithmetic", text="sentence", hidden=8))
composer = WithLossesOfItsOwn(settings, encoder.dim, encoder.dim)
torch.nn.init.normal_(composer.value.weight, std=0.01)
model = EncodedComposer(encoder, composer)
images, triplets = ImageShards(split), read_triplets(split)
objects = {name: images.objects(name) for name in images.ids}
keys = [shows(t.target, objects) for t in triplets]
plan = plan_batches(keys, 8, 4, 0, distributed.processes())
batches = CompositionBatches(
    Pixels(images, model.encoder), triplets, [t.edit for t in triplets], objects, plan, 1
)
groups = encoder_groups(model.encoder, all_layers(model.encoder, 1.0), 1e-4, 0.05)
groups.append({"params": list(composer.parameters()), "lr": 1e-4})
history = fit(
    CompositionObjective(model, 0.5, 0.5), groups, batches, lambda: {"score": 0.0},
    schedule(4, evaluate_every=2, warmup=0.25), 0,
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
