"""The stages of the pipeline, one thin script each."""

import os

import cir  # noqa: F401  (it mends torchvision before a stage imports its libraries)

# The process that started this one: DVC, a shell or a launcher. It is read here because it may end
# during the seconds in which a stage imports its libraries.
FIRST_PARENT = os.getppid()
