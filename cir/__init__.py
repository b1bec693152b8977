"""Compositional image retrieval: an image and a sentence find the edited image.

The layers, from top to bottom; an import points down, or to the right within a line
(tests/test_architecture.py checks it):

    stages                                 a thin script per DVC stage: only they read params.yaml
    composition, naming                    what the encoder is trained for, in reverse order
    tagger_training, training, batches     optimisation loops and what they feed on
    tagging_augmentation, tagger_models    sentences varied in training; the classifier itself
    made_up_names, tagger_vocabulary       objects and words that no list holds
    edit_grammar, edit_reversal            how sentences that ask for edits are put together
    edit_words, tagging_data, held_out     words of edits; the expanded templates and their splits
    submission, ablation, scoring          what leaves the pipeline: a folder, figures
    pictures                               drawings of queries and answers, plots
    retriever                              tagger + encoder + composer: query and gallery vectors
    embedding, breakdown, ranking          vectors on disk, who is nearest, to what kind of query
    datasets, scenes, encoders, composers  images, drawn ones, and what turns them into vectors
    tagger, tagging_metrics                sentences in, edits out; how many are right
    templates, english, losses, metrics    the word splitter; pure functions
    distributed, files, progress, records  several processes, whole files, values
    errors, torchvision_ops                sentences for the user; the mend that comes first
"""

from cir import torchvision_ops

torchvision_ops.declare_missing()
