"""Learned composers against a slow reading of their papers' equations, in float64.

Numbers are lists; batch normalisation is done by hand, over the batch, as in training.
"""

import math
from itertools import chain

import pytest
import torch

from cir.composers import EditFeatures, create
from tests.helpers.composers import params

B, D, E = 5, 4, 3


class Weights:
    """A composer's weights as lists, by name."""

    def __init__(self, composer):
        self.of = {name: value.tolist() for name, value in composer.named_parameters()}

    def linear(self, name, rows):
        """A row at a time: Σⱼ Wᵢⱼ·xⱼ + bᵢ."""
        matrix = self.of[f"{name}.weight"]
        bias = self.of.get(f"{name}.bias", [0.0] * len(matrix))
        return [[dot(ws, row) + b for ws, b in zip(matrix, bias, strict=True)] for row in rows]

    def batch_norm(self, name, rows):
        """Each column less its mean, over its standard deviation; then the learned line."""
        columns = []
        for number, column in enumerate(zip(*rows, strict=True)):
            mean = sum(column) / len(column)
            variance = sum((value - mean) ** 2 for value in column) / len(column)
            scale, shift = (self.of[f"{name}.{kind}"][number] for kind in ("weight", "bias"))
            deviation = math.sqrt(variance + 1e-5)
            columns.append([scale * (value - mean) / deviation + shift for value in column])
        return [list(row) for row in zip(*columns, strict=True)]

    def conv(self, name, stacks):
        """[B][C][L] → [B][K][L]: three wide, one zero at either end."""
        kernels = self.of[f"{name}.weight"]
        result = []
        for stack in stacks:
            padded = [[0.0, *channel, 0.0] for channel in stack]
            result.append(
                [
                    [
                        sum(dot(kernel[c], padded[c][i : i + 3]) for c in range(len(padded)))
                        for i in range(len(stack[0]))
                    ]
                    for kernel in kernels
                ]
            )
        return result

    def mapping(self, name, rows):
        """BN → ReLU → Linear → ReLU → Linear."""
        rows = self.linear(f"{name}.2", relu(self.batch_norm(f"{name}.0", rows)))
        return self.linear(f"{name}.4", relu(rows))


def dot(values, others):
    return sum(a * b for a, b in zip(values, others, strict=True))


def relu(rows):
    return [[max(value, 0.0) for value in row] for row in rows]


def each(function, *tables):
    return [
        [function(*values) for values in zip(*rows, strict=True)]
        for rows in zip(*tables, strict=True)
    ]


def beside(*tables):
    return [list(chain(*parts)) for parts in zip(*tables, strict=True)]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def largest_of_stretches(channel, count):
    """Stretch i runs from ⌊i·L/count⌋ to ⌈(i+1)·L/count⌉."""
    length = len(channel)
    return [max(channel[i * length // count : -(-(i + 1) * length // count)]) for i in range(count)]


def pooled(stacks, count):
    return [list(chain(*(largest_of_stretches(c, count) for c in stack))) for stack in stacks]


def mean_square(rows, others):
    differences = [d * d for row in each(lambda a, b: a - b, rows, others) for d in row]
    return sum(differences) / len(differences)


def tirg(w, x, t):
    u = beside(x, t)
    gate = w.linear("gate.2", relu(w.batch_norm("gate.0", u)))
    residual = w.mapping("residual", u)
    a0, a1 = w.of["gate_weight"], w.of["residual_weight"]
    return each(lambda g, i, r: a0 * sigmoid(g) * i + a1 * r, gate, x, residual)


def concatenation(w, x, t):
    u = w.linear("network.2", relu(w.batch_norm("network.0", beside(x, t))))
    return w.linear("network.6", relu(w.batch_norm("network.3", u)))


def rotation(w, name, x, t, c):
    z = w.linear(f"{name}.image.1", w.batch_norm(f"{name}.image.0", x))
    z = w.linear(f"{name}.image.4", relu(z))
    delta = w.linear(f"{name}.text.1", w.batch_norm(f"{name}.text.0", t))
    delta = w.linear(f"{name}.text.3", relu(delta))
    real = each(lambda a, d: a * math.cos(d), z, delta)
    imaginary = each(lambda a, d: c * a * math.sin(d), z, delta)
    return z, delta, real, imaginary


def composeae(w, x, t, c=1.0):
    _, _, real, imaginary = rotation(w, "linear_projection", x, t, c)
    linear = w.mapping("linear", beside(real, imaginary))
    z, delta, real, imaginary = rotation(w, "conv_projection", x, t, c)
    stacks = list(zip(z, delta, x, real, imaginary, strict=True))
    conv = w.mapping("conv.3", pooled(w.conv("conv.0", stacks), 16))
    a0, a1 = w.of["conv_weight"], w.of["linear_weight"]
    return each(lambda a, b: a1 * a + a0 * b, linear, conv)


def real_space(w, x, t):
    u = beside(x, t)
    linear = w.mapping("linear", u)
    stretches = max(1, len(u[0]) // 64)
    conv = w.mapping("conv.3", pooled(w.conv("conv.0", [[row] for row in u]), stretches))
    a0, a1 = w.of["conv_weight"], w.of["linear_weight"]
    return each(lambda a, b: a1 * a + a0 * b, linear, conv)


def combiner(w, x, t):
    p = beside(relu(w.linear("text_projection.0", t)), relu(w.linear("image_projection.0", x)))
    share = w.linear("mixture.1", relu(w.linear("mixture.0.0", p)))
    out = w.linear("output.1", relu(w.linear("output.0.0", p)))
    rows = []
    for o, (logit,), text, image in zip(out, share, t, x, strict=True):
        mixed = [
            a + sigmoid(logit) * b + (1 - sigmoid(logit)) * c
            for a, b, c in zip(o, text, image, strict=True)
        ]
        length = math.sqrt(sum(value * value for value in mixed))
        rows.append([value / length for value in mixed])
    return rows


def prepared(name, dim=D, text_dim=E, **changes):
    """A composer in training mode with random weights, its image and text, and the edit."""
    torch.manual_seed(3)
    composer = create(params(name, text="sentence", **changes), dim, text_dim).double()
    with torch.no_grad():
        for weight in composer.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5 + 0.2)
    image, text = torch.randn(B, dim).double(), torch.randn(B, text_dim).double()
    none = torch.zeros(0)
    edit = EditFeatures(torch.zeros(0, dim).double(), none.long(), none, text)
    return composer.train(), image, text, edit


@pytest.mark.parametrize(
    ("name", "literal", "changes"),
    [
        ("tirg", tirg, {}),
        ("concatenation", concatenation, {"dropout": 0.0}),
        ("composeae", composeae, {"dropout": 0.0}),
        ("real_space_concat_ae", real_space, {}),
        ("real_space_concat_ae", real_space, {"dim": 70, "text_dim": 65}),
        ("combiner", combiner, {"text_dim": D, "dropout": 0.0, "projection": 2, "hidden": 3}),
    ],
)
def test_a_composer_is_its_equations(name, literal, changes):
    composer, image, text, edit = prepared(name, **changes)
    slow = literal(Weights(composer), image.tolist(), text.tolist())
    torch.testing.assert_close(composer(image, edit), torch.tensor(slow, dtype=torch.float64))


def test_sum_and_text_only_are_what_they_say():
    for changes, expected in [
        ({"name": "text_only"}, lambda x, t: t),
        ({"name": "sum"}, lambda x, t: x + t),
        ({"name": "sum", "normalise": True}, lambda x, t: x / x.norm() + t / t.norm()),
    ]:
        composer, image, text, edit = prepared(text_dim=D, **changes)
        slow = torch.stack([expected(x, t) for x, t in zip(image, text, strict=True)])
        torch.testing.assert_close(composer(image, edit), slow)


def dot_loss(query, target):
    """Stands for ℓ; what it is does not matter here, but both its sides must."""
    return (query * target).sum() + 2 * query.sum()


def test_composeae_reads_both_back_and_turns_the_target_back():
    composer, image, text, edit = prepared("composeae", dropout=0.0)
    target = torch.randn(B, D).double()
    x, t, w = image.tolist(), text.tolist(), Weights(composer)
    theta, back = composeae(w, x, t), composeae(w, target.tolist(), t, c=-1.0)
    got = composer.auxiliary_losses(image, edit, composer(image, edit), target, dot_loss)
    rotated = sum(dot(row, image) + 2 * sum(row) for row, image in zip(back, x, strict=True))
    assert got["image_decoding"].item() == pytest.approx(
        0.1 * mean_square(w.mapping("decoders.image", theta), x)
    )
    assert got["text_decoding"].item() == pytest.approx(
        0.1 * mean_square(w.mapping("decoders.text", theta), t)
    )
    assert got["rotation"].item() == pytest.approx(0.01 * rotated)
    assert len(got) == 3


def test_real_space_concat_ae_reads_both_back():
    composer, image, text, edit = prepared("real_space_concat_ae", text_weight=0.3)
    x, t, w = image.tolist(), text.tolist(), Weights(composer)
    theta = real_space(w, x, t)
    got = composer.auxiliary_losses(image, edit, composer(image, edit), image, dot_loss)
    image_error = 0.1 * mean_square(w.mapping("decoders.image", theta), x)
    text_error = 0.3 * mean_square(w.mapping("decoders.text", theta), t)
    assert {n: v.item() for n, v in got.items()} == pytest.approx(
        {"image_decoding": image_error, "text_decoding": text_error}
    )


def test_the_features_that_are_read_back_get_a_gradient_too():
    composer, image, _, edit = prepared("composeae", dropout=0.0)
    image.requires_grad_()
    query = composer(image, edit).detach()
    composer.auxiliary_losses(image, edit, query, image.detach(), lambda q, t: q.sum() * 0)[
        "image_decoding"
    ].backward()
    assert image.grad.abs().min() > 0


def sizes(module):
    return [tuple(p.shape) for p in module.parameters() if p.ndim > 1]


def test_the_published_sizes():
    """With 512-d images and BERT's 768-d texts, and with the LSTM's 512-d ones."""
    bert = create(params("composeae", text="sentence"), 512, 768)
    assert sizes(bert.linear) == [(512, 1024), (512, 512)]
    assert sizes(bert.conv) == [(64, 5, 3), (512, 1024), (512, 512)]
    assert sizes(bert.linear_projection) == [(512, 512), (512, 512), (512, 768), (512, 512)]
    assert sizes(bert.decoders.text) == [(768, 512), (768, 768)]
    assert bert.linear_projection.image[2].p == 0.5
    assert (bert.conv_weight.item(), bert.linear_weight.item()) == (1.0, 10.0)
    for text_dim, stretches in ((768, 20), (512, 16)):
        real = create(params("real_space_concat_ae", text="sentence"), 512, text_dim)
        assert real.conv[1].output_size == stretches
        assert sizes(real.conv)[1] == (512, 512 + text_dim)
    gated = create(params("tirg", text="sentence"), 512, 512)
    assert sizes(gated) == [(512, 1024), (1024, 1024), (512, 1024)]
    assert (gated.gate_weight.item(), gated.residual_weight.item()) == (1.0, 10.0)
    clip = create(params("combiner", text="sentence"), 640, 640)
    assert sizes(clip.output) == [(5120, 5120), (640, 5120)]
    assert sizes(clip.mixture) == [(5120, 5120), (1, 5120)]
    assert clip.output[0][2].p == clip.mixture[0][2].p == clip.text_projection[2].p == 0.5
