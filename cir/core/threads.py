"""Make the threads that wait for each other sleep, so that a busy machine stays usable.

torch computes with a thread on each core, and its threads meet after every operation. The OpenMP
library of its Linux builds, GNU's, lets a thread that waits spin for milliseconds, in the hope that
the others come soon. Where another program has the core of one of them, all the rest spin.
"""

import os

# Turns of the loop before a waiting thread sleeps, about 20 microseconds; the library's own count
# is 300,000. docs/speed.md has the measurements.
_TURNS = "1000"


def wait_asleep() -> None:
    """Let waiting threads sleep soon, unless the environment says how they wait.

    `import cir` calls this. The library reads the environment once, when torch is imported: a
    program that imports torch before cir keeps the library's own way. Child processes inherit it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)
