"""Compositional image retrieval: an image and a sentence find the edited image.

The README of the project lists the packages in the order of their imports.
"""

from cir.core import threads, torchvision_mend

threads.wait_asleep()  # before torch is imported, as torchvision_mend
torchvision_mend.install()
