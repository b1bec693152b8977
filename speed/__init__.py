"""Measure speed and memory as ratios within one run, so that they hold on any machine.

`python -m speed` prints the ratios beside their targets and writes nothing.
"""
