"""Training a small tagger, reading with it, its command line, and what may go wrong."""

import io
import json
import random
import sys
from dataclasses import replace
from threading import Barrier

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.optim.swa_utils import AveragedModel
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForTokenClassification,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    GPT2TokenizerFast,
    ViTConfig,
    ViTModel,
    XLNetConfig,
    XLNetModel,
)

from cir.commands.main import main
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.expansion import fill_in_order
from cir.edits.models import context_tokenizer, fresh_model, pretrained_model
from cir.edits.params import FromScratch, TrainTagger, Varied
from cir.edits.reading.metrics import agreement, breakdown, confusion, same_edit
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.templates import Template
from cir.edits.reading.word_splitter import LABELS, split_words
from cir.edits.training import Collator, train

TEMPLATES = [
    Template("add a <positive_object>", "plain"),
    Template("remove the <negative_object>", "plain"),
    Template("add a <positive_object> and remove the <negative_object>", "both"),
    Template("remove the <negative_object> and add a <positive_object>", "both"),
]
CONTEXT = "add a an the and remove .".split()
SIZE = FromScratch(layers=2, width=32, heads=2, hidden=64, dropout=0.0, longest=24)
RECIPE = TrainTagger(
    steps=300,
    batch_size=16,
    learning_rate=0.003,
    warmup_share=0.1,
    weight_decay=0.0,
    label_smoothing=0.0,
    evaluations=4,
    as_written=0.5,
    varied=Varied(**dict.fromkeys(Varied.model_fields, 0.0)),
)


def sentences(count, seed):
    """Some clauses, joined and cut off at the front, as a window on a long text may be."""
    rng = random.Random(seed)
    names = ["hat", "teal kite", "wine glass", "cat", "ox cart", "bee"]
    made = []
    for _ in range(count):
        chosen = rng.choices(TEMPLATES, k=rng.choice((1, 1, 2, 3)))
        joined = Template(" and ".join(t.template for t in chosen), chosen[0].style)
        whole = fill_in_order(joined, rng.sample(names, len(joined.slots)))
        first = rng.choice((0, 0, rng.randrange(len(whole.words) // 2)))
        words, labels = whole.words[first:], whole.labels[first:]
        made.append(replace(whole, text=" ".join(words), words=words, labels=labels))
    return made


def trained(checkpoints, steps_before_a_kill=None):
    """Train on made sentences; first, if asked, only up to a kill after some steps."""
    torch.set_num_threads(1)
    data = sentences(RECIPE.steps * RECIPE.batch_size, seed=1)
    if steps_before_a_kill is not None:
        with pytest.raises(KilledError):
            run_training(Killing(data, steps_before_a_kill * RECIPE.batch_size), checkpoints)
    return run_training(data, checkpoints)


class KilledError(Exception):
    """Stands for the signal, which a test cannot send to itself."""


class Killing(list):
    """A list that cannot be read beyond some index: what a kill in the middle looks like."""

    def __init__(self, items, last):
        super().__init__(items)
        self._last = last

    def __getitem__(self, index):
        if index >= self._last:
            raise KilledError
        return super().__getitem__(index)


def run_training(data, checkpoints):
    model, tokenizer = fresh_model(SIZE, CONTEXT, seed=0)
    model, curve = train(model, tokenizer, data, sentences(40, 2), RECIPE, 0, checkpoints)
    return model, tokenizer, curve


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def folder(training, tmp_path_factory):
    model, tokenizer, _ = training
    path = tmp_path_factory.mktemp("models") / "tagger"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tagger(folder):
    return Tagger.load(folder)


def test_it_learns_the_sentence_and_not_the_nouns(tagger):
    texts = ["add a zeppelin and remove the teal gnu", "remove the  shoe   rack"]
    assert tagger.tag(texts) == [
        Edit(texts[0], add=("zeppelin",), remove=("teal gnu",)),
        Edit(texts[1], remove=("shoe rack",)),
    ]


def test_the_curve_falls(training):
    losses = [entry["loss"] for entry in training[2] if "loss" in entry]
    assert losses[-1] < 0.1 * losses[0]
    assert [e["step"] for e in training[2] if "eval_exact_edit" in e] == [75, 150, 225, 300]


@pytest.fixture
def taken(monkeypatch):
    """The weights that a training averages."""
    taken, update = [], AveragedModel.update_parameters

    def noted(self, model):
        taken.append({name: w.clone().cpu() for name, w in model.state_dict().items()})
        update(self, model)

    monkeypatch.setattr(AveragedModel, "update_parameters", noted)
    return taken


def test_the_weights_of_the_second_half_are_averaged(tmp_path, taken):
    torch.set_num_threads(1)
    recipe = RECIPE.model_copy(update={"steps": 40, "evaluations": 2})
    data = sentences(recipe.steps * recipe.batch_size, seed=1)
    made = []
    for number, share in enumerate((0.0, 0.25)):
        model, tokenizer = fresh_model(SIZE, CONTEXT, seed=0)
        start = {name: weight.clone() for name, weight in model.state_dict().items()}
        checkpoints = tmp_path / str(number)
        trained, _ = train(
            *(model, tokenizer, data, sentences(40, 2), recipe, 0, checkpoints), start_share=share
        )
        made.append(trained.state_dict())
    first, again = taken[:5], taken[5:]  # at the steps 20, 25, 30, 35 and 40
    assert len(first) == len(again) == 5
    for name, weight in made[0].items():
        mean = torch.stack([some[name] for some in first]).mean(dim=0)
        torch.testing.assert_close(weight, mean)
        of_encoder = name.startswith(trained.base_model_prefix)
        back = torch.lerp(mean, start[name], 0.25) if of_encoder else mean
        torch.testing.assert_close(made[1][name], back)


def test_a_training_of_few_steps_gives_its_last_weights(tmp_path, taken):
    recipe = RECIPE.model_copy(update={"steps": 3, "evaluations": 1})
    model, tokenizer = fresh_model(SIZE, CONTEXT, seed=0)
    trained, _ = train(*(model, tokenizer, sentences(48, 1), sentences(8, 2), recipe, 0, tmp_path))
    (last,) = taken
    for name, weight in trained.state_dict().items():
        torch.testing.assert_close(weight, last[name])
    start = fresh_model(SIZE, CONTEXT, seed=0)[0].state_dict()
    assert any(not torch.equal(weight, start[name]) for name, weight in last.items())


def test_a_killed_training_resumes_to_the_same_weights(training, tmp_path):
    model, _, curve = trained(tmp_path, steps_before_a_kill=120)
    assert curve == training[2]
    for name, tensor in training[0].state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_half_written_checkpoint_is_passed_over(training, tmp_path):
    with pytest.raises(KilledError):
        run_training(Killing(sentences(4800, seed=1), 120 * 16), tmp_path)
    (tmp_path / "checkpoint-75" / "trainer_state.json").write_text('{"global_')
    (tmp_path / "checkpoint-75" / "model.safetensors").write_bytes(b"half")
    assert run_training(sentences(4800, seed=1), tmp_path)[2] == training[2]


def test_order_and_batches_do_not_matter(tagger):
    texts = [sentence.text for sentence in sentences(50, seed=5)]
    one_by_one = [tagger.tag([text])[0] for text in texts]
    assert tagger.tag(texts, batch_size=7) == one_by_one
    assert tagger.tag([]) == []


def test_two_threads_read_the_batches_side_by_side(tagger, monkeypatch):
    together, score, threads = Barrier(2), Tagger._score, torch.get_num_threads()

    def meeting(self, sentences):
        together.wait(timeout=30)  # nobody comes where one thread reads one batch after the other
        return score(self, sentences)

    monkeypatch.setattr(Tagger, "_score", meeting)
    assert len(tagger.tag([sentence.text for sentence in sentences(40, seed=5)], 10)) == 40
    assert torch.get_num_threads() == threads


def test_objects_are_given_as_written(tagger):
    assert tagger.tag(["ADD A Zeppelin"])[0].add == ("Zeppelin",)


@pytest.mark.parametrize("text", ["", "  \n", "...", "帽子を消してください", "टोपी हटाओ", "🙂"])
def test_a_text_that_cannot_be_read_changes_nothing(tagger, text):
    assert tagger.tag([text]) == [Edit(text)]
    assert tagger.word_labels([text]) == [["other"] * len(split_words(text))]


def test_marks_that_say_something_are_read(training):
    """Only what nobody could read is passed over: "-" and "+" are words of the tagger's."""
    model, _, _ = training
    tagger = Tagger(model, context_tokenizer([*CONTEXT, "-"], longest=24))
    assert list(windows(tagger, ["-", "hat"]))
    assert not list(windows(tagger, ["zeppelin", "."]))


def windows(tagger, words):
    return list(tagger._cut(0, [words], tagger._pieces([words])))


def test_two_thousand_words(tagger):
    text = " and ".join(["remove the hat and add a zeppelin"] * 250)
    edit = tagger.tag([text])[0]
    assert len(split_words(text)) == 1999
    assert edit.add == ("zeppelin",) * 250
    assert edit.remove == ("hat",) * 250


@pytest.mark.parametrize("count", [1, 21, 22, 23, 24, 40, 200])
def test_windows_cover_each_word_once(tagger, count):
    words = ["hat"] * (count - 1) + ["add"]
    found = windows(tagger, words)
    assert [word for window in found for word in window.kept] == list(range(count))
    assert all(w.first <= w.kept.start and w.kept.stop <= w.last for w in found)


def test_the_first_piece_of_a_word_carries_its_label():
    tokenizer = context_tokenizer(CONTEXT, longest=24)
    sentence = fill_in_order(TEMPLATES[0], ["hot dog"])
    batch = Collator(tokenizer)([sentence])
    assert batch["labels"].tolist() == [[-100, 0, 0, 1, 1, -100]]


def test_unknown_words_are_one_piece_and_words_have_an_order():
    tokenizer = context_tokenizer(reversed(CONTEXT), longest=24)
    assert tokenizer.get_vocab() == context_tokenizer(CONTEXT, longest=24).get_vocab()
    pieces = tokenizer(["Add", "a", "jack-o'-lantern"], is_split_into_words=True).tokens()
    assert pieces == ["[CLS]", "add", "a", "[UNK]", "[SEP]"]


TINY = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 24}


def save_encoder(path, kind, config):
    tokenizer = context_tokenizer([*CONTEXT, "hat", "cat"], longest=config.max_position_embeddings)
    config.vocab_size = len(tokenizer)
    kind(config).save_pretrained(path)
    tokenizer.save_pretrained(path)


def test_any_encoder_of_transformers_will_do(tmp_path):
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
    save_encoder(tmp_path / "bert", BertModel, config)
    model, tokenizer = pretrained_model(str(tmp_path / "bert"), seed=0)
    again, _ = pretrained_model(str(tmp_path / "bert"), seed=0)
    model.train()
    once, twice = (model(**tokenizer("add a hat", return_tensors="pt")).logits for _ in range(2))
    assert torch.equal(once, twice)  # without dropout
    model.eval()
    assert torch.equal(model.classifier.weight, again.classifier.weight)
    assert list(model.config.id2label.values()) == list(LABELS)
    kept = BertModel.from_pretrained(tmp_path / "bert").embeddings.word_embeddings.weight
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, kept)
    labels = Tagger(model, tokenizer).word_labels(["add a hat " * 40])[0]
    assert len(labels) == 120


BERT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
BERT |= {"intermediate_size": 32, "max_position_embeddings": 24}
ELECTRA = BERT | {"embedding_size": 16}  # a layer between the words and the first block


@pytest.mark.parametrize(
    ("kind", "config", "below", "blocks"),
    [
        (BertModel, BertConfig(**BERT), ["bert.embeddings."], "bert.encoder.layer"),
        (
            DistilBertModel,
            DistilBertConfig(**TINY | {"n_layers": 3}),
            ["distilbert.embeddings."],
            "distilbert.transformer.layer",
        ),
        (
            ElectraModel,
            ElectraConfig(**ELECTRA),
            ["electra.embeddings"],
            "electra.encoder.layer",
        ),
    ],
)
def test_the_lowest_layers_stay_as_pretrained(tmp_path, kind, config, below, blocks):
    save_encoder(tmp_path, kind, config)
    model, _ = pretrained_model(str(tmp_path), seed=0, frozen=2)
    stay = (*below, f"{blocks}.0.", f"{blocks}.1.")
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith(stay)}
    assert len(frozen) > 20
    with pytest.raises(UserError, match=r"tagger\.frozen must be less than the 3 layers, got 3$"):
        pretrained_model(str(tmp_path), seed=0, frozen=3)


def test_layers_that_share_their_weights_cannot_stay_one_by_one(tmp_path):
    save_encoder(tmp_path, AlbertModel, AlbertConfig(**BERT, embedding_size=16))
    pretrained_model(str(tmp_path), seed=0)
    with pytest.raises(UserError, match=r"tagger\.frozen: albert has no list of 3 .* set it to 0$"):
        pretrained_model(str(tmp_path), seed=0, frozen=1)


def test_training_changes_all_but_what_is_frozen(tmp_path):
    save_encoder(tmp_path / "bert", BertModel, BertConfig(**BERT))
    model, tokenizer = pretrained_model(str(tmp_path / "bert"), 0, None, CONTEXT, frozen=2)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    data, few = sentences(RECIPE.steps * RECIPE.batch_size, seed=1), sentences(4, 2)
    recipe = RECIPE.model_copy(update={"steps": 4, "evaluations": 1})
    trained, _ = train(*(model, tokenizer, data, few, recipe, 0, tmp_path / "checkpoints"))
    stay = ("bert.embeddings.", "bert.encoder.layer.0.", "bert.encoder.layer.1.")
    for name, weight in trained.named_parameters():
        assert torch.equal(weight.data, before[name]) is name.startswith(stay), name


def test_a_checkpoint_of_another_kind_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    vision = ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    ViTModel(vision).save_pretrained(tmp_path / "vit")
    for name in (str(tmp_path / "vit"), str(tmp_path / "none"), "nobody/no-such-model"):
        with pytest.raises(UserError, match=r"tagger\.checkpoint") as caught:
            pretrained_model(name, seed=0)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_encoders_that_a_tagger_cannot_read_with_are_refused_in_a_sentence(tmp_path):
    letters = {letter: number for number, letter in enumerate("abcdehkmnortu.,ĠAT")}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    GPT2TokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "gpt2")
    gpt2 = GPT2Config(vocab_size=len(letters), n_embd=16, n_layer=1, n_head=2, n_positions=64)
    GPT2Model(gpt2).save_pretrained(tmp_path / "gpt2")
    context_tokenizer([*CONTEXT, "hat", "cat"], longest=64).save_pretrained(tmp_path / "xlnet")
    xlnet = XLNetConfig(vocab_size=400, d_model=16, n_layer=1, n_head=2, d_inner=16)
    XLNetModel(xlnet).save_pretrained(tmp_path / "xlnet")
    for kind in ("gpt2", "xlnet"):
        with pytest.raises(UserError, match=r"tagger\.checkpoint: a tagger cannot read") as caught:
            pretrained_model(str(tmp_path / kind), seed=0)
        assert f"({kind})" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(tmp_path):
    small = DistilBertConfig(
        dim=32, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=24
    )
    save_encoder(tmp_path, DistilBertForTokenClassification, small)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_layers": 2}))
    with pytest.raises(UserError, match="missing or have another size"):
        pretrained_model(str(tmp_path), seed=0)


def test_a_folder_that_is_no_tagger(tmp_path, folder):
    with pytest.raises(UserError, match="contains no tagger"):
        Tagger.load(tmp_path)
    small = DistilBertConfig(
        dim=32, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=24
    )
    save_encoder(tmp_path / "other", DistilBertForTokenClassification, small)
    with pytest.raises(UserError, match="expected the labels other, pos, neg"):
        Tagger.load(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be loaded"):
        Tagger.load(tmp_path / "other")


def test_agreement_by_hand():
    true = [["other", "pos", "pos"], ["neg", "other", "pos"]]
    told = [["other", "pos", "pos"], ["neg", "pos", "pos"]]
    assert agreement(true, told) == {
        "exact_edit": 0.5,
        "span_precision": 2 / 3,
        "span_recall": 2 / 3,
        "span_f1": 2 / 3,
        "count": 2,
    }
    nothing = agreement([["other"]], [["other"]])
    assert (nothing["exact_edit"], nothing["span_f1"]) == (1.0, 1.0)


def test_breakdown_by_objects_and_style():
    three = [fill_in_order(t, ["hat", "cat"][: len(t.slots)]) for t in TEMPLATES[:3]]
    told = [list(three[0].labels), ["other"] * 3, list(three[2].labels)]
    result = breakdown(three, told)
    assert result["by_objects"] == [
        {"objects": 1, "count": 2, "exact_edit": 0.5},
        {"objects": 2, "count": 1, "exact_edit": 1.0},
    ]
    assert result["by_style"] == [
        {"style": "both", "count": 1, "exact_edit": 1.0},
        {"style": "plain", "count": 2, "exact_edit": 0.5},
    ]


def test_confusion_counts_words():
    true = [["other", "pos", "pos"], ["neg", "other"]]
    told = [["other", "pos", "neg"], ["other", "other"]]
    assert confusion(true, told) == [
        {"true": "other", "other": 2, "pos": 0, "neg": 0},
        {"true": "pos", "other": 0, "pos": 1, "neg": 1},
        {"true": "neg", "other": 1, "pos": 0, "neg": 0},
    ]


@pytest.mark.parametrize(
    ("add", "strict", "forgiven"),
    [
        (("Tiger",), True, True),
        (("majestic tiger",), False, True),
        (("big majestic tiger",), False, False),
        (("lion",), False, False),
        (("tiger", "lion"), False, False),
        ((), False, False),
    ],
)
def test_an_adjective_may_be_forgiven(add, strict, forgiven):
    true, told = Edit("", add=("tiger",)), Edit("", add=add)
    assert same_edit(true, told) is strict
    assert same_edit(true, told, forgive_adjective=True) is forgiven
    assert same_edit(told, true, forgive_adjective=True) is forgiven


def test_the_command_line_tags_one_sentence(folder, capsys):
    assert main(["tag", "add a \udcff hat", "--tagger", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "add a \ufffd hat"
    assert main(["tag", "add a red hat", "--tagger", str(folder)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert 0 < printed.pop("confidence") <= 1
    assert printed == {"text": "add a red hat", "add": ["red hat"], "remove": []}


def test_the_command_line_reads_a_sentence_a_line(folder, capsys, monkeypatch):
    given = "add a hat\n\nand\nremove the zeppelin"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode() + b" \xff")))
    assert main(["tag", "--tagger", str(folder)]) == 1
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(row["add"], row["remove"]) for row in rows][:2] == [(["hat"], []), ([], [])]
    assert len(rows) == 3
    assert "line 2 is empty" in printed.err
    assert "line 3: it names no object" in printed.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tag", " "], "empty"),
        (["tag", "add a hat", "--tagger", "nowhere"], "there is no tagger in nowhere"),
        (["tag-score", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_the_command_line_answers_mistakes_with_a_sentence(arguments, complaint, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert complaint in printed


def test_the_command_line_scores(folder, tmp_path, capsys):
    rows = [
        {"text": "add a hat", "add": ["hat"], "remove": []},
        {"text": "add a big hat", "add": ["hat"], "remove": []},
        {"text": "remove the cat", "add": [], "remove": ["dog"]},
    ]
    path = tmp_path / "edits.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert main(["tag-score", str(path), "--tagger", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["33.33% of 3" in lines[0], "66.67% of 3" in lines[1]] == [True, True]
    path.write_text('{"text": "add a hat"}')
    assert main(["tag-score", str(path), "--tagger", str(folder)]) == 1
    assert "line 1" in capsys.readouterr().err
