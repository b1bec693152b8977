"""Published models by name: the catalogue, and the folder that each becomes on this machine.

`model_folder(models, name)` is the folder of a model that `cir models get` has written. This
package itself imports no large library; only getting and checking a model do.
"""

from cir.retrieval.models.catalogue import (
    PRESETS,
    RECORD,
    Preset,
    folder_name,
    model_folder,
    read_record,
)

__all__ = ["PRESETS", "RECORD", "Preset", "folder_name", "model_folder", "read_record"]
