"""The stages of the pipeline: one thin script each."""

import os

import cir  # noqa: F401  (it mends torchvision, before a stage's own imports need it)

# The process that started this one (DVC, its shell or a launcher). It is read before the seconds
# in which a stage imports its libraries, for it may end in that time.
FIRST_PARENT = os.getppid()
