"""What reading a file may do, for the tests of `sandbox`; imports nothing that takes time."""

import os


def crash(path):
    os.abort()


def hang(path):
    while True:
        pass


def refuse(path):
    raise ValueError(f"{path}: no")


def miss(path):
    raise PermissionError(13, "Permission denied", str(path))


def fill(path):
    return bytearray(5 * 2**30)
