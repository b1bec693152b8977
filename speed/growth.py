"""Measure how each stage's processor time and memory grow with its data.

python -m speed.growth                    every stage; an hour on a quiet core
python -m speed.growth score              this stage, and those that it needs

The pipeline runs at once, twice, four and eight times its data, stage by stage; steps of training
stay as they are, at the smoke size. A time is t = a + b nᵉ, where a is the start of the process. So
e is the logarithm to base 2 of (t₈ - t₂) / (t₄ - t₁). It is not told where these differences are
so small that they are noise. Of each stage the quickest of three runs counts.
"""

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML

from cir.core.errors import UserError
from cir.core.progress import say
from tools import smoke
from tools.pipeline import Stage, read_stages

FACTORS = (1, 2, 4, 8)
RUNS = 3
# The data at once: eight times that of the smoke pipeline, or four times where that has more.
DATA = {
    "data.train_queries": 224,
    "data.val_queries": 112,
    "data.test_queries": 224,
    "data.novel_queries": 56,
    "text_data.train_images": 320,
    "text_data.described": 240,
    "text_data.val_images": 320,
    "text_data.test_images": 320,
    "benchmark.dataset.train_pairs": 160,
    "benchmark.dataset.train_images": 160,
    "benchmark.dataset.queries": 64,
    "benchmark.dataset.gallery": 80,
    "class_data.per_class": 4,
    "class_data.val_per_class": 4,
    "class_data.queries_per_class": 2,
    "class_data.gallery_per_class": 4,
}
_LEAST = 1.0  # seconds by which a stage must grow from one size to the next


@dataclass(frozen=True)
class Use:
    """What a stage took: `seconds` of processor and the largest resident size in `megabytes`."""

    seconds: float
    megabytes: float


def main(wanted: Sequence[str]) -> None:
    uses: dict[str, list[Use]] = {}
    for factor in FACTORS:
        with TemporaryDirectory() as folder:
            project = smoke.clone(Path(folder) / "project", uncommitted=True)
            smoke.choose(project, [f"{key}={count * factor}" for key, count in DATA.items()])
            keep_one_composer(project / "params.yaml")
            for name, command in commands(project, wanted):
                quickest = min(
                    (run(project, command) for _ in range(RUNS)), key=lambda u: u.seconds
                )
                uses.setdefault(name, []).append(quickest)
                say(f"{factor}x {name}: {uses[name][-1].seconds:.1f} s")
    print("\n".join(table(uses)))


def keep_one_composer(params: Path) -> None:
    """Leave the last of the composers that are compared: each has a stage, and they cost alike."""
    yaml = YAML()
    chosen = yaml.load(params.read_text(encoding="utf-8"))
    for name in list(chosen["composers"])[:-1]:
        del chosen["composers"][name]
    with params.open("w", encoding="utf-8") as file:
        yaml.dump(chosen, file)


def table(uses: dict[str, list[Use]]) -> list[str]:
    """Return a line for each stage: seconds and exponent, megabytes and exponent."""
    heads = [*(f"{factor}x s" for factor in FACTORS), "e"]
    heads += [*(f"{factor}x MB" for factor in FACTORS), "e"]
    lines = [f"{'':<36}" + "".join(f"{head:>8}" for head in heads)]
    for name, own in uses.items():
        seconds, megabytes = [u.seconds for u in own], [u.megabytes for u in own]
        lines.append(
            f"{name:<36}"
            + "".join(f"{value:>8.1f}" for value in seconds)
            + f"{exponent(seconds, _LEAST):>8}"
            + "".join(f"{value:>8.0f}" for value in megabytes)
            + f"{exponent(megabytes, 20):>8}"
        )
    return lines


def exponent(values: Sequence[float], least: float) -> str:
    """Return e of a + b nᵉ for n = 1, 2, 4, 8, or "-" if a difference is below `least`."""
    first, second = values[2] - values[0], values[3] - values[1]
    if first < least or second < least:
        return "-"
    return f"{math.log2(second / first):.2f}"


def commands(project: Path, wanted: Sequence[str] = ()) -> list[tuple[str, list[str]]]:
    """Return the stages of a project with their commands, each after those whose outputs it needs.

    A `foreach` stage runs for each of the composers. `wanted` are addresses; without any, all
    stages are. Raises UserError for an address that no stage has.
    """
    params = YAML(typ="safe").load((project / "params.yaml").read_text(encoding="utf-8"))
    waiting, made, found = _with_what_they_need(read_stages(project), wanted), set(), []
    everything = {output for stage in waiting for output in _outputs(stage)}
    while waiting:
        ready = [s for s in waiting if not (_needed(s) & everything) - made]
        if not ready:
            raise UserError("the stages wait for each other")
        for stage in ready:
            name = stage.address.removeprefix("stages/").replace("/dvc.yaml:", ": ")
            command = stage.entry["cmd"].replace("\\${CIR_LAUNCH:-python}", "python")
            for key in params["composers"] if stage.foreach else [""]:
                words = shlex.split(command.replace("${key}", key).replace("${item}", key))
                found.append((f"{name}@{key}" if key else name, words))
            made |= _outputs(stage)
            waiting.remove(stage)
    return found


def _with_what_they_need(stages: list[Stage], wanted: Sequence[str]) -> list[Stage]:
    known = {stage.address for stage in stages}
    if absent := [address for address in wanted if address not in known]:
        raise UserError(f"there is no stage {absent[0]}; there are {', '.join(sorted(known))}")
    chosen = set(wanted) or known
    while True:
        needed = {path for stage in stages if stage.address in chosen for path in _needed(stage)}
        more = {stage.address for stage in stages if _outputs(stage) & needed} - chosen
        if not more:
            return [stage for stage in stages if stage.address in chosen]
        chosen |= more


def _outputs(stage: Stage) -> set[str]:
    return {output.removesuffix("/${key}") for output in stage.outputs}


def _needed(stage: Stage) -> set[str]:
    """Return the dependencies of a stage, and the folders in which they lie."""
    paths = [Path(path) for path in stage.paths("deps")]
    return {one.as_posix() for path in paths for one in (path, *path.parents)}


def run(project: Path, command: list[str]) -> Use:
    """Run a stage on one thread, with all processes that it starts.

    Raises UserError if it fails.
    """
    environment = {**smoke.environment(), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *command[1:]]
    with (project / "output").open("w+b") as output:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace").splitlines()[-5:]
            raise UserError(f"{' '.join(command)} ended with {process.returncode}: {said}")
    return Use(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
