"""The launcher's configurations are such as accelerate reads, and mean what their names say."""

import pytest
from accelerate import DistributedType
from accelerate.commands.config.config_args import load_config_from_file

from tests.helpers import ROOT

FOLDER = ROOT / "tools" / "launch"
PROCESSES = {"one_gpu": 1, "two_gpus": 2, "eight_gpus": 8}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_configurations_of_accelerate(name):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert (config.num_machines, config.num_processes) == (1, PROCESSES[name])
    several = PROCESSES[name] > 1
    expected = DistributedType.MULTI_GPU if several else DistributedType.NO
    assert config.distributed_type == expected
    assert not config.use_cpu
    command = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert command == (
        '# CIR_LAUNCH="python -m accelerate.commands.launch --config_file '
        f'tools/launch/{name}.yaml" dvc repro'
    )


def test_there_is_one_for_each_number_of_gpus():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == PROCESSES.keys()
