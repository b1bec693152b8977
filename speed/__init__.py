"""Speed and memory as ratios measured in one run, so that they hold on any machine.

`python -m speed` prints them beside their targets; it writes nothing.
"""
