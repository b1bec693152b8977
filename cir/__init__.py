"""Compositional image retrieval: an image and a sentence find the edited image.

The README of the project lists the packages in the order of their imports.
"""

from cir.core import torchvision_mend

torchvision_mend.install()
