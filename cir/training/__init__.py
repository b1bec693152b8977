"""Train encoders and composers.

`naming` is the first step (images against object names), `composition` the second (reference + edit
against target), `composer_alone` trains a composer on features that are encoded once."""
