"""Measure speed and memory as ratios within one run, so that they hold on any machine.

`python -m speed` prints the ratios beside their targets and writes nothing.
"""

import cir  # noqa: F401  (it sets how threads wait before torch is imported)
