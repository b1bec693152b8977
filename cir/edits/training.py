"""Train a token classifier to tag edit sentences, with transformers' Trainer."""

import copy
import os
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.edits.augmentation import Augmenter
from cir.edits.params import TrainTagger
from cir.edits.reading.pieces import Pieces
from cir.edits.reading.templates import TaggedSentence, Template
from cir.edits.reading.word_splitter import LABELS

_BATCHES_AHEAD = 128
_IGNORED = -100  # label of padding, and of a word's pieces after the first
_BATCHES_SORTED_TOGETHER = 32
_POOLS_BY_TURNS = 8  # and the most processes that make sentences
_AVERAGED_EVERY = 5  # steps
_AVERAGE = "average.pt"  # in a checkpoint
_LABEL_IDS = {label: number for number, label in enumerate(LABELS)}


class VariedSentences(Dataset):
    """All sentences of a training, in order; each is a variation of a training sentence.

    A sentence depends only on the seed and its number. Sentences are made in pools of several
    batches. Each pool is sorted, so that a batch holds sentences of similar length: in pieces, if
    the `pieces` of the model's tokenizer are given, and otherwise in words. Batches come
    from eight pools by turns, so that as many processes can each make pools of their own; only in
    the last turn, which may have fewer pools, they make the same ones. Each epoch has every
    training sentence once, and sentences of two epochs mix where one ends within a turn.
    """

    def __init__(
        self,
        sentences: Sequence[TaggedSentence],
        augmenter: Augmenter,
        recipe: TrainTagger,
        seed: int,
        pieces: Pieces | None = None,
    ):
        self._sentences = list(sentences)
        self._templates = [Template(item.template, item.style) for item in sentences]
        self._augmenter = augmenter
        self._as_written = recipe.as_written
        self._size = recipe.steps * recipe.batch_size
        self._batch_size = recipe.batch_size
        self._pool_size = recipe.batch_size * _BATCHES_SORTED_TOGETHER
        self._seed = seed
        self._length = len if pieces is None else pieces.count
        self._pools: dict[int, list[TaggedSentence]] = {}  # those in use
        # The epoch that was used last: its number and its rows.
        self._order: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> TaggedSentence:
        first = index - index % (_POOLS_BY_TURNS * self._pool_size)
        left = -(-(self._size - first) // self._pool_size)
        batch, place = divmod(index - first, self._batch_size)
        number, own = divmod(batch, min(_POOLS_BY_TURNS, left))
        return self._pool(first // self._pool_size + own)[number * self._batch_size + place]

    def _pool(self, pool: int) -> list[TaggedSentence]:
        if pool not in self._pools:
            now = pool // _POOLS_BY_TURNS
            kept = {n: some for n, some in self._pools.items() if n // _POOLS_BY_TURNS == now}
            self._pools = kept | {pool: self._make_pool(pool)}
        return self._pools[pool]

    def _make_pool(self, pool: int) -> list[TaggedSentence]:
        first = pool * self._pool_size
        made = [self._make(number) for number in range(first, first + self._pool_size)]
        made.sort(key=lambda sentence: self._length(sentence.words))
        size = self._batch_size
        batches = [made[start : start + size] for start in range(0, len(made), size)]
        random.Random(f"{self._seed} pool {pool}").shuffle(batches)
        return [sentence for batch in batches for sentence in batch]

    def _make(self, number: int) -> TaggedSentence:
        epoch, place = divmod(number, len(self._sentences))
        if self._order[0] != epoch:
            rng = random.Random(f"{self._seed} epoch {epoch}")
            self._order = (epoch, rng.sample(range(len(self._sentences)), len(self._sentences)))
        row = self._order[1][place]
        rng = random.Random(f"{self._seed} {number}")
        if rng.random() < self._as_written:
            return self._sentences[row]
        return self._augmenter(self._templates[row], rng.choice(self._templates), rng)


class Collator:
    """Makes padded batches of sentences; the first piece of each word has the word's label.

    The arguments are those of `Pieces`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, words: Iterable[str] = ()):
        self._pieces = Pieces(tokenizer, words)
        self._room = tokenizer.model_max_length - self._pieces.special

    def __call__(self, sentences: Sequence[TaggedSentence]) -> dict[str, torch.Tensor]:
        pieces = self._pieces([sentence.words for sentence in sentences])
        ids, attention, firsts = self._pieces.batch(pieces, self._room)
        labels = torch.full_like(ids, _IGNORED)
        for row, (sentence, places) in enumerate(zip(sentences, firsts, strict=True)):
            of_words = [_LABEL_IDS[label] for label in sentence.labels[: len(places)]]
            labels[row, torch.from_numpy(places)] = torch.tensor(of_words)
        return {"input_ids": ids, "attention_mask": attention, "labels": labels}


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Dataset,
    validation: Sequence[TaggedSentence],
    recipe: TrainTagger,
    seed: int,
    checkpoints: Path,
    follow: Callable[[Sequence[dict[str, float]]], None] = lambda history: None,
    start_share: float = 0.0,
) -> tuple[PreTrainedModel, list[dict[str, float]]]:
    """Train for `recipe.steps` steps; return the model of averaged weights, and a curve.

    The learning rate stays high, and the weights of the second half of the steps are averaged:
    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (UAI 2018).
    Then the encoder goes back by `start_share` of the way to where it started. This keeps what a
    pretrained encoder knows beyond the training sentences: Wortsman et al., "Robust Fine-Tuning of
    Zero-Shot Models" (CVPR 2022).

    Training continues from the last complete checkpoint in the folder `checkpoints`, if there is
    one. The curve has one entry for each logging step and each validation, which is of the averaged
    weights as soon as there are any. `follow` receives the whole curve when there is a new entry.
    """
    start = copy.deepcopy(model.base_model.state_dict())
    average = AveragedModel(model)
    trainer = _Trainer(
        model=model,
        args=_arguments(recipe, seed, checkpoints),
        train_dataset=sentences,
        eval_dataset=list(validation),
        data_collator=Collator(tokenizer, model.config.context_words),
        compute_metrics=_exact_edits,
        callbacks=[_ShowProgress(follow), _Average(average)],
    )
    trainer.average = average
    trainer.remove_callback(PrinterCallback)
    last = _last_whole_checkpoint(checkpoints)
    if last is not None:
        say(f"resuming from {last.name} of an interrupted run")
        average.load_state_dict(torch.load(last / _AVERAGE, weights_only=True))
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    averaged = average.module.to("cpu")
    with torch.no_grad():
        for name, weight in averaged.base_model.state_dict().items():
            if weight.is_floating_point():
                weight.lerp_(start[name], start_share)
    return averaged, _curve(trainer.state.log_history)


def _arguments(recipe: TrainTagger, seed: int, checkpoints: Path) -> TrainingArguments:
    if recipe.steps % recipe.evaluations:
        raise UserError(
            f"train_tagger: steps ({recipe.steps}) must be a multiple of evaluations "
            f"({recipe.evaluations}), so that the last step is evaluated"
        )
    every = recipe.steps // recipe.evaluations
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=2 * recipe.batch_size,
        learning_rate=recipe.learning_rate,
        optim="adamw_torch_fused",
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=round(recipe.warmup_share * recipe.steps),
        weight_decay=recipe.weight_decay,
        label_smoothing_factor=recipe.label_smoothing,
        train_sampling_strategy="sequential",  # the sentences are already in random order
        remove_unused_columns=False,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        # An entry is a mean over its steps: a resumed run must start at the first of them.
        logging_steps=max(n for n in range(1, every // 10 + 2) if every % n == 0),
        disable_tqdm=True,
        report_to="none",
        # Other processes make sentences far ahead, as each turn begins with making all its pools.
        dataloader_num_workers=_makers(),
        dataloader_prefetch_factor=_BATCHES_AHEAD // _makers(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=seed,
    )


def _makers() -> int:
    """Return how many processes make sentences; without a GPU, one keeps up with the training.

    They divide the pools of a turn among them, so their number is a power of two.
    """
    if not torch.cuda.is_available():
        return 1
    return 1 << min(_POOLS_BY_TURNS, os.cpu_count() or 1).bit_length() - 1


def _exact_edits(evaluated: EvalPrediction) -> dict[str, float]:
    counted = evaluated.label_ids != _IGNORED
    wrong = (evaluated.predictions.argmax(-1) != evaluated.label_ids) & counted
    return {"exact_edit": float(1 - wrong.any(axis=1).mean())}


def _curve(log: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    kept = ("step", "loss", "learning_rate", "eval_loss", "eval_exact_edit")
    measured = [entry for entry in log if "loss" in entry or "eval_loss" in entry]
    return [{key: entry[key] for key in kept if key in entry} for entry in measured]


def _last_whole_checkpoint(folder: Path) -> Path | None:
    """Find the last checkpoint that is complete: trainer_state.json and the average come last."""
    whole = []
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        if not (state.parent / _AVERAGE).is_file():
            continue
        try:
            whole.append((files.read_json(state)["global_step"], state.parent))
        except (UserError, KeyError):
            continue
    return max(whole)[1] if whole else None


class _Trainer(Trainer):
    """Validates the averaged weights, as soon as there are any."""

    average: AveragedModel

    def evaluation_loop(self, *args, **kwargs):
        if not self.average.n_averaged:
            return super().evaluation_loop(*args, **kwargs)
        trained, self.model = self.model, self.average.module.to(self.args.device)
        try:
            return super().evaluation_loop(*args, **kwargs)
        finally:
            self.model = trained


class _Average(TrainerCallback):
    """Averages the weights of the second half of the steps, and saves the average."""

    def __init__(self, average: AveragedModel):
        self._average = average

    def on_step_end(self, args, state, control, model=None, **kwargs):
        step, last = state.global_step, state.max_steps
        if 2 * step >= last and (step % _AVERAGED_EVERY == 0 or step == last):
            self._average.update_parameters(model)

    def on_save(self, args, state, control, **kwargs):
        with files.whole_file(
            Path(args.output_dir) / f"checkpoint-{state.global_step}" / _AVERAGE
        ) as path:
            torch.save(self._average.state_dict(), path)


class _ShowProgress(TrainerCallback):
    """Shows the progress as other stages do, and passes on the curve."""

    def __init__(self, follow: Callable[[Sequence[dict[str, float]]], None]):
        self._follow = follow

    def on_train_begin(self, args, state, control, **kwargs):
        left = range(state.global_step, state.max_steps)
        self._progress = progress(left, len(left), "training the tagger", "steps")
        self._steps = iter(self._progress)
        next(self._steps, None)

    def on_step_end(self, args, state, control, **kwargs):
        next(self._steps, None)

    def on_log(self, args, state, control, logs, **kwargs):
        if "loss" in logs:
            self._progress.note(f"loss {logs['loss']:.4f}")
        if "eval_exact_edit" in logs:
            self._progress.note(f"exact edits {logs['eval_exact_edit']:.1%}")
        self._follow(_curve(state.log_history))
