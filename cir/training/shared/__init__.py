"""The training loop, and the batches, losses, schedules and parameter groups of all trainings.

Contract: `loop.fit(objective, groups, batches, validate, ...)` trains, resumes an
interrupted run, and leaves the objective with the weights that validated best.
"""
