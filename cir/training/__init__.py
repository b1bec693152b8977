"""Train encoders and composers on triplets.

Contract: an objective, its batches and a validation go to `shared.loop.fit(objective, groups,
batches, validate, ...)`, which resumes an interrupted run and keeps the best weights. `naming` is
the first step (images and object names), `composition` the second (reference + edit and target);
`composer_alone` trains a composer on features that were computed once.
"""
