"""Compositional image retrieval: an image and a sentence find the edited image.

What may import what is in README.md beside this file.
"""

from cir.core import torchvision_mend as torchvision_ops

torchvision_ops.declare_missing()
