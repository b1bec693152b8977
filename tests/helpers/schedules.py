"""Short schedules for tests that train."""

from cir.training.shared.params import Schedule


def schedule(steps, evaluate_every, warmup=0.1, gradient_clip=1.0):
    """A schedule in fp32 that prepares batches in the training process."""
    return Schedule(
        steps=steps,
        warmup=warmup,
        gradient_clip=gradient_clip,
        precision="no",
        evaluate_every=evaluate_every,
        workers=0,
    )
