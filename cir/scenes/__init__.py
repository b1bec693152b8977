"""Scenes drawn by the project: coloured everyday objects, and the edits between sets of them."""

from cir.scenes.colours import COLOURS
from cir.scenes.contact_sheet import contact_sheet
from cir.scenes.draw import draw_cells, draw_object, draw_scene
from cir.scenes.images import draw_many, name_images
from cir.scenes.names import all_names, colour_of, kind_of, split_names
from cir.scenes.objects import OBJECTS
from cir.scenes.triplets import SceneTriplet, query_sets, sample_hard_gallery, sample_triplets

__all__ = [
    "COLOURS",
    "OBJECTS",
    "SceneTriplet",
    "all_names",
    "colour_of",
    "contact_sheet",
    "draw_cells",
    "draw_many",
    "draw_object",
    "draw_scene",
    "kind_of",
    "name_images",
    "query_sets",
    "sample_hard_gallery",
    "sample_triplets",
    "split_names",
]
