"""Other interpreters that this one starts: their environment variables."""

import os
import sys


def variables() -> dict[str, str]:
    """The variables of an interpreter that finds its modules where this one does.

    Start it with -P: without it Python looks into the current folder first.

    Returns:
      All variables of this process, with PYTHONPATH set.
    """
    modules = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    return os.environ | {"PYTHONPATH": modules}
