"""Where images with classes come from, for the search for another picture of the same thing.

Each of these makes the parts train, val, query and gallery, all of one form (see `base`). Beneath
them lie `folders` (files on the disk), `rules` (what no part may hold), `division` (shares of
images or of classes) and `given` (datasets that come with a training and a test part).
"""

from cir.classes.datasets.base import PARTS, ClassSource
from cir.classes.datasets.cifar100 import CIFAR100
from cir.classes.datasets.class_folders import ClassFolders
from cir.classes.datasets.divided_folders import DividedFolders
from cir.classes.datasets.drawn_objects import DrawnObjects
from cir.classes.datasets.food101 import Food101
from cir.classes.datasets.training_and_test import TrainingAndTest

__all__ = [
    "CIFAR100",
    "PARTS",
    "ClassFolders",
    "ClassSource",
    "DividedFolders",
    "DrawnObjects",
    "Food101",
    "TrainingAndTest",
]
