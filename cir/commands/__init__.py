"""Parse the command line: one module for each command of `cir`, one for their shared options."""
