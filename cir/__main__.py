"""Run the command line: python -m cir COMMAND."""

import sys

from cir.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
