"""Say what a gallery of any size costs: embedding, storage, index memory, search, retraining.

python -m speed.scale                                        10,000 to 1,000,000,000 images
python -m speed.scale --images 1e9 --encoder vitamin_l_384   one size
python -m speed.scale --machines 8 --gpu-dollars-per-hour 2  other inputs; --help lists them
python -m speed.scale --measure                              the formula against this machine

Every figure is a unit cost times a number; no figure of a larger size was measured. The unit costs
are measured ones, and the prices are published ones: INPUTS and ENCODERS say where each is from.
"""

import argparse
import math
from dataclasses import dataclass, field, fields, replace

SIZES = (1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
HOURS_OF_A_MONTH = 730


def _input(default: float, source: str) -> float:
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True)
class Encoder:
    """The unit costs of an encoder on one machine: an option changes each.

    Attributes:
        dim: D, the length of a vector.
        on_gpu: whether the machine is that with the GPU, whose price differs.
        images_per_second: rate of embedding.
        steps_per_second, steps: of the training of the encoder (finetune_encoder).
        kilobytes: of one encoded image, an assumption.
        source: where the rates are from.
    """

    dim: int
    on_gpu: bool
    images_per_second: float
    steps_per_second: float
    steps: float
    kilobytes: float
    source: str


ENCODERS = {
    "micro": Encoder(
        dim=256,
        on_gpu=False,
        images_per_second=2001,
        steps_per_second=11.0,
        steps=1500,
        kilobytes=2.0,
        source="two quiet CPU cores, 2026-11-26, drawn images of 64 pixels",
    ),
    "vitamin_l_384": Encoder(
        dim=768,
        on_gpu=True,
        images_per_second=466,
        steps_per_second=338 / 192,
        steps=2000,
        kilobytes=40.0,
        source="one H200, 2026-11-26, random weights, JPEGs of 384 pixels: the bare bf16 forward "
        "(embedding reaches at most this; decoding may hold it back), and the head's training",
    ),
}


@dataclass(frozen=True)
class Inputs:
    """What does not depend on the encoder; the default of each says where it is from."""

    machines: float = _input(1, "machines that embed side by side")
    gpu_dollars_per_hour: float = _input(4.54, "an H200 on demand, Spheron, 2026-03-17")
    cpu_dollars_per_hour: float = _input(0.089, "AWS c7i.large, 2 vCPU, on demand, list of 2025")
    memory_dollars_per_hour: float = _input(0.529, "AWS r7i.2xlarge on demand, list of 2025")
    memory_gigabytes: float = _input(64, "memory of that machine: it holds a shard of the index")
    object_dollars_per_month: float = _input(0.023, "a GB in AWS S3 Standard, list of 2025")
    disk_dollars_per_month: float = _input(0.08, "a GB of AWS gp3 volume, list of 2025")
    payload_bytes: float = _input(500, "of the record beside a vector: an assumption")
    overhead: float = _input(1.5, "memory over the vectors', Qdrant's documentation")
    graph_edges: float = _input(16, "m of the graph; the lowest layer has 2m edges of 4 bytes")
    scan_gigabytes_per_second: float = _input(
        10.0, "exact search of one query on one machine: an assumption; speed.mapped_gallery tells"
    )
    graph_milliseconds: float = _input(1.3, "of 100,000 vectors, two CPU cores, docs/speed.md")


INPUTS = Inputs()


@dataclass(frozen=True)
class Cost:
    """What a gallery of one size costs. GB are 10^9 bytes, and a month has 730 hours."""

    images: float
    embedding_hours: float
    embedding_dollars: float
    images_gigabytes: float
    vectors_gigabytes: float
    storage_dollars_per_month: float
    exact_gigabytes: float
    scalar_gigabytes: float
    binary_gigabytes: float
    exact_machines: int
    scalar_machines: int
    binary_machines: int
    exact_dollars_per_month: float
    binary_dollars_per_month: float
    scan_milliseconds: float
    graph_milliseconds: float
    training_hours: float
    retraining_hours: float
    retraining_dollars: float


def cost(images: float, encoder: Encoder, inputs: Inputs = INPUTS) -> Cost:
    """Compute what a gallery of `images` images costs.

    Storage is the images in object storage and the vectors on disk. An index holds in memory the
    vectors in their precision and the graph, times `overhead`; a quantised one leaves the full
    vectors on disk. Exact search reads every vector of a shard, all shards at once. The graph's
    time grows with the logarithm of a shard's size. After a training the whole gallery is embedded
    again.
    """
    price = inputs.gpu_dollars_per_hour if encoder.on_gpu else inputs.cpu_dollars_per_hour
    machine_hours = images / encoder.images_per_second / 3600
    training_hours = encoder.steps / encoder.steps_per_second / 3600
    full, payload = 4 * encoder.dim, inputs.payload_bytes
    graph = 2 * inputs.graph_edges * 4
    memory = {
        name: images * (size + graph) * inputs.overhead / 1e9
        for name, size in (
            ("exact", full),
            ("scalar", encoder.dim),
            ("binary", encoder.dim / 8),
        )
    }
    machines = {
        name: max(1, math.ceil(size / inputs.memory_gigabytes)) for name, size in memory.items()
    }
    a_month = HOURS_OF_A_MONTH * inputs.memory_dollars_per_hour
    stored, vectors = images * encoder.kilobytes / 1e6, images * (full + payload) / 1e9
    shard = images / machines["exact"]
    return Cost(
        images=images,
        embedding_hours=machine_hours / inputs.machines,
        embedding_dollars=machine_hours * price,
        images_gigabytes=stored,
        vectors_gigabytes=vectors,
        storage_dollars_per_month=stored * inputs.object_dollars_per_month
        + vectors * inputs.disk_dollars_per_month,
        **{f"{name}_gigabytes": size for name, size in memory.items()},
        **{f"{name}_machines": count for name, count in machines.items()},
        exact_dollars_per_month=machines["exact"] * a_month,
        binary_dollars_per_month=machines["binary"] * a_month,
        scan_milliseconds=shard * full / (inputs.scan_gigabytes_per_second * 1e9) * 1000,
        graph_milliseconds=inputs.graph_milliseconds * max(1, math.log10(max(shard, 10)) / 5),
        training_hours=training_hours,
        retraining_hours=training_hours + machine_hours / inputs.machines,
        retraining_dollars=(training_hours + machine_hours) * price,
    )


ROWS = {
    "embedding, hours": "embedding_hours",
    "embedding, dollars": "embedding_dollars",
    "images, GB": "images_gigabytes",
    "vectors with records, GB": "vectors_gigabytes",
    "storage, dollars a month": "storage_dollars_per_month",
    "index memory exact, GB": "exact_gigabytes",
    "index memory scalar, GB": "scalar_gigabytes",
    "index memory binary, GB": "binary_gigabytes",
    "machines for it, exact": "exact_machines",
    "machines for it, scalar": "scalar_machines",
    "machines for it, binary": "binary_machines",
    "exact index, dollars a month": "exact_dollars_per_month",
    "binary index, dollars a month": "binary_dollars_per_month",
    "one query by scanning, ms": "scan_milliseconds",
    "one query by the graph, ms": "graph_milliseconds",
    "one training, hours": "training_hours",
    "training and embedding again, hours": "retraining_hours",
    "training and embedding again, dollars": "retraining_dollars",
}


def table(sizes: tuple[float, ...], encoder: Encoder, inputs: Inputs) -> list[str]:
    """Return the lines of a table with a column for each size."""
    costs = [cost(size, encoder, inputs) for size in sizes]
    lines = [f"{'images':<38}" + "".join(f"{size:>15,.0f}" for size in sizes)]
    for name, key in ROWS.items():
        lines.append(f"{name:<38}" + "".join(f"{_short(getattr(c, key)):>15}" for c in costs))
    return lines


def _short(value: float) -> str:
    """Write a count whole, and anything else with three digits, without an exponent."""
    if isinstance(value, int):
        return f"{value:,}"
    decimals = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 4)}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=float, help="how many images; default: six sizes")
    parser.add_argument("--encoder", choices=sorted(ENCODERS), default="vitamin_l_384")
    parser.add_argument("--measure", action="store_true", help="compare the formula with runs here")
    for one in fields(Encoder):
        if one.name not in ("on_gpu", "source"):
            parser.add_argument(_option(one.name), type=float, help="default: the encoder's own")
    for one in fields(Inputs):
        about = f"{one.metadata['source']}; default: {one.default:g}"
        parser.add_argument(_option(one.name), type=float, default=one.default, help=about)
    options = parser.parse_args()
    if options.measure:
        from speed.scale_check import show

        show()
        return
    if options.images is not None and not 1 <= options.images < math.inf:
        parser.error(f"--images must be 1 or more; got {options.images:g}")
    inputs = Inputs(**{one.name: getattr(options, one.name) for one in fields(Inputs)})
    given = {one.name: getattr(options, one.name, None) for one in fields(Encoder)}
    changed = {name: value for name, value in given.items() if value is not None}
    bad = [name for name, value in {**vars(inputs), **changed}.items() if not value > 0]
    if bad:
        parser.error(f"{_option(bad[0])} must be more than 0")
    encoder = replace(ENCODERS[options.encoder], **changed)
    print(f"{options.encoder}: {encoder.source}")
    print("\n".join(table((options.images,) if options.images else SIZES, encoder, inputs)))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


if __name__ == "__main__":
    main()
