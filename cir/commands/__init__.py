"""The commands of `cir`, one module each."""
