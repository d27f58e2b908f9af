"""Files: outputs checked before the work starts, whole or absent when it ends; hashes."""

import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def check_output(path: Path, *, force: bool = False, suffixes: Sequence[str] = ()) -> None:
    """Makes sure that a file can be written there, and makes the folder it goes to.

    Args:
      path: the file to write.
      force: a file that exists may be replaced.
      suffixes: endings that are allowed, in lower case; by default any.

    Raises:
      ValueError: the ending is not one of `suffixes`.
      FileExistsError: there is such a file and `force` is not set.
      OSError: the path is a folder, or the folder cannot be made or written to.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        found = path.suffix or "none"
        raise ValueError(
            f"cannot write {path}: its ending must be one of {', '.join(suffixes)}, got {found}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name in it")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; use --force to overwrite it")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Makes the folder if need be, and makes sure that files can be written into it.

    Args:
      folder: with or without its parents.

    Raises:
      OSError: it cannot be made or written to.
    """
    try:
        for each in (folder, *folder.parents):
            if each.exists() and not each.is_dir():
                raise NotADirectoryError(f"{each} is a file; give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        # os.access is wrong for root and for some network file systems, so write a file.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise type(error)(f"cannot write into the folder {folder}: {reason}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends without an error.

    Whoever reads `path` finds the old file or the whole new one, never a part.

    Args:
      path: the file to write or replace.

    Yields:
      The temporary path, with the same ending.

    Raises:
      OSError: the file cannot take its name.
    """
    # A hash of the name, because the name with additions might be too long for the file system.
    temporary = path.with_name(
        f".{zlib.crc32(path.name.encode(errors='replace')):x}.{os.getpid()}{path.suffix}"
    )
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def absence(path: Path) -> str:
    """Why there is no such file, and what to do.

    Args:
      path: what was given for a file; it may be an address of the web.
    """
    if re.match(r"(https?|ftp|s3|gs|hf):/", str(path)):
        return "it is an address of the web; download the file, and give its path"
    return "no such file"


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal digits.

    Args:
      path: the file.

    Raises:
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: BaseException) -> str:
    """The first line of an error's message; its kind if it has none.

    Args:
      error: of any kind.
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]
