"""The examples of docs/scale.md are such as their programs read."""

import re
import subprocess

import pytest
from ruamel.yaml import YAML

from cir.app.stores.capacity import capacity
from speed.scale import ENCODERS, cost
from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def example(kind):
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


def parses(script):
    ran = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stderr


def torchrun(script):
    """Return the options of the launcher and the module that it runs."""
    joined = script.replace("\\\n", " ")
    command = joined[joined.index("torchrun") :].splitlines()[0]
    options = re.findall(r"--(\w+) ", command)
    return options, re.search(r"-m ([\w.]+)", command)[1]


OPTIONS = ["nnodes", "node_rank", "nproc_per_node", "master_addr", "master_port"]


def test_the_job_of_slurm():
    script = example("sh")
    parses(script)
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, re.MULTILINE))
    assert directives["nodes"] == "2"
    assert directives["ntasks-per-node"] == "1"  # torchrun starts the processes of a node
    assert f"--nproc_per_node {directives['gpus-per-node']}" in script
    assert torchrun(script) == (OPTIONS, "stages.finetune_encoder")
    assert script.index("export CIR_CHECKPOINTS") < script.index("srun")


def test_the_task_of_skypilot():
    task = YAML(typ="safe").load(example("yaml"))
    assert set(task) == {"name", "num_nodes", "resources", "file_mounts", "setup", "run"}
    assert task["num_nodes"] == 2
    assert re.fullmatch(r"\w+:\d+", task["resources"]["accelerators"])
    assert {mount["mode"] for mount in task["file_mounts"].values()} == {"MOUNT"}
    for part in ("setup", "run"):
        parses(task[part])
    assert torchrun(task["run"]) == (OPTIONS, "stages.finetune_encoder")
    # The variables that SkyPilot sets, by its documentation.
    named = set(re.findall(r"SKYPILOT_\w+", task["run"]))
    assert named == {
        "SKYPILOT_NUM_NODES",
        "SKYPILOT_NODE_RANK",
        "SKYPILOT_NUM_GPUS_PER_NODE",
        "SKYPILOT_NODE_IPS",
    }


def test_the_two_nodes_of_the_page_start_the_same_stage():
    (block,) = [b for b in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if "node_rank 1" in b]
    assert "CIR_LAUNCH" in block
    assert block.count("--nnodes 2") == 2
    assert block.count("--master_addr node0 --master_port 29500") == 2
    assert "dvc repro finetune_encoder" in block
    assert torchrun(block[block.index("\ntorchrun") :])[1] == "stages.finetune_encoder"


def row(name):
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


@pytest.mark.parametrize(("column", "images"), list(enumerate((1e6, 1e7, 1e8, 1e9))))
def test_the_table_of_costs_is_that_of_the_formula(column, images):
    found = cost(images, ENCODERS["vitamin_l_384"])

    def number(text):
        return float(re.search(r"[\d,.]+", text)[0].rstrip(".,").replace(",", ""))

    def dollars(text):
        return number(text.partition("$")[2])

    def close(text, value):
        return abs(number(text) - value) <= max(0.06 * value, 0.06)

    assert abs(dollars(row("embedding on one H200")[column]) - found.embedding_dollars) < 1
    scale = 1000 if images == 1e9 else 1
    assert close(row("memory of the index: exact")[column], found.exact_gigabytes / scale)
    assert close(row("the same: scalar (int8)")[column], found.scalar_gigabytes / scale)
    assert close(row("the same: binary")[column], found.binary_gigabytes)
    machines = f"{found.exact_machines} / {found.binary_machines}"
    assert row("machines of 64 GB: exact / binary")[column] == machines
    assert abs(dollars(row("storage a month")[column]) - found.storage_dollars_per_month) < 1
    again = row("training the head anew, and embedding again")[column]
    assert abs(dollars(again) - found.retraining_dollars) < 1


def test_the_table_of_forms_is_that_of_the_store():
    assert capacity(1_300_000, 768).quantisation == "none"
    assert {capacity(n, 768).quantisation for n in (1_310_000, 20_000_000)} == {"scalar"}
    assert capacity(21_000_000, 768).quantisation == "binary"
    assert capacity(10**9, 511).quantisation == "scalar"
    assert capacity(1_310_000, 768).oversampling == 2
    assert capacity(21_000_000, 768).oversampling == 4
