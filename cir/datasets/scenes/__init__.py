"""Draw scenes of coloured everyday objects, and sample edits between sets of objects."""

from cir.datasets.scenes.colours import COLOURS
from cir.datasets.scenes.contact_sheet import contact_sheet
from cir.datasets.scenes.draw import draw_cells, draw_object, draw_scene
from cir.datasets.scenes.hard_gallery import sample_hard_gallery
from cir.datasets.scenes.images import draw_many, name_images
from cir.datasets.scenes.names import all_names, colour_of, kind_of, split_names
from cir.datasets.scenes.objects import OBJECTS
from cir.datasets.scenes.triplets import SceneTriplet, query_sets, sample_triplets

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
