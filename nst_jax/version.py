"""The version of the package, alone in a file: whoever asks for it imports nothing else."""

__version__ = "0.1.0"
