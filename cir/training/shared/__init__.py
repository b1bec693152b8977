"""What every training shares: the loop, batches, losses, schedules and optimiser groups.

`loop.fit(...)` runs the steps, resumes after an interruption and keeps the best weights."""
