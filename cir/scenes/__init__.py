"""Scenes drawn by the project: coloured everyday objects, and the edits between sets of them."""

from cir.scenes.colours import COLOURS
from cir.scenes.contact_sheet import contact_sheet
from cir.scenes.draw import draw_object, draw_scene
from cir.scenes.images import draw_many, name_images
from cir.scenes.names import all_names, split_names
from cir.scenes.objects import OBJECTS
from cir.scenes.triplets import SceneTriplet, query_sets, sample_hard_gallery, sample_triplets

__all__ = [
    "COLOURS",
    "OBJECTS",
    "SceneTriplet",
    "all_names",
    "contact_sheet",
    "draw_many",
    "draw_object",
    "draw_scene",
    "name_images",
    "query_sets",
    "sample_hard_gallery",
    "sample_triplets",
    "split_names",
]
