"""Downloads the official file, whole and with the right checksum, into the user's cache."""

import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from pathlib import Path

import pooch
from tqdm import tqdm

from nst_jax.choices import Arch
from nst_jax.system import files, locks, places
from nst_jax.system.console import informs
from nst_jax.weights import official
from nst_jax.weights.finding import VARIABLE

PATIENCE = 18.0
"""Seconds without an answer after which all attempts together give up.

Ending an attempt takes up to a second more: the user waits less than twenty seconds.
"""


class WeightsNotFound(FileNotFoundError):
    """No usable weights anywhere; the message says what was tried and what can be done."""


def fetch(arch: Arch = "vgg19") -> Path:
    """The official file in the user's cache, downloaded if it is not there.

    It takes its place there only when it is whole and its checksum is right, so that several
    processes may do this at once.

    Args:
      arch: "vgg19" or "vgg16".

    Returns:
      The path of the file.

    Raises:
      WeightsNotFound: no address gave it; the message says why.
    """
    return fetch_after(arch, ())


def fetch_after(arch: Arch, tried: Sequence[str]) -> Path:
    """As `fetch`, when other places have been tried before.

    Args:
      arch: "vgg19" or "vgg16".
      tried: what was wrong in each place; the error tells it.

    Returns:
      The path of the file.

    Raises:
      WeightsNotFound: no address gave it.
    """
    path = official.cached_path(arch)
    if official.problem(path, arch) is None:
        return path
    try:
        files.check_folder(path.parent)
    except OSError as error:
        raise _not_found(arch, [*tried, f"{error} (XDG_CACHE_HOME names another)"]) from error
    with locks.held(path, wait=True):
        # Another process may have downloaded it while we waited for the lock.
        return path if official.problem(path, arch) is None else _fetch_anew(arch, tried)


def _fetch_anew(arch: Arch, tried: Sequence[str]) -> Path:
    attempts = list(tried)
    urls = official.urls(arch)
    for url in urls:
        try:
            return _download(url, official.FILES[arch], PATIENCE / len(urls))
        # The errors of `requests` are OSErrors; pooch raises ValueError for a wrong checksum.
        except (OSError, ValueError) as error:
            attempts.append(f"{url}: {_reason(error)}")
    raise _not_found(arch, attempts)


def _not_found(arch: Arch, attempts: Sequence[str]) -> WeightsNotFound:
    return WeightsNotFound(
        "\n  ".join([f"no weights for {arch}; tried", *attempts])
        + "\nDownload the file where there is a network, and name it by --weights PATH or by the "
        f"environment variable {VARIABLE}; any {arch.upper()} in HDF5, npz, safetensors or torch "
        "format will do. For a preview, take an untrained network by --weights random."
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the address, which `requests` wraps around it several times."""
    innermost = getattr(error.args[0] if error.args else None, "reason", None) or error
    return re.sub(r"HTTPS?Connection(Pool)?\([^)]*\): ", "", str(innermost))


class _Progress(tqdm):
    """A progress bar that knows when the last bytes came, and ends a download given up."""

    given_up = False

    def __init__(self, **kwargs):
        self.last_news = time.monotonic()
        super().__init__(**kwargs)

    def __bool__(self) -> bool:
        # A tqdm bar of unknown length is false, and pooch takes a false bar for none.
        return True

    def update(self, n: int = 1) -> bool | None:
        if self.given_up:
            raise TimeoutError("given up")
        self.last_news = time.monotonic()
        return super().update(n)


def _download(url: str, file: official.Official, patience: float) -> Path:
    """One attempt; pooch checks the sum of a temporary file and moves it into the cache.

    It runs in a thread because `requests` has no timeout for the look-up of a host's name, nor
    for all addresses of a host together.

    Raises:
      OSError, ValueError: no answer for `patience` seconds, an error, or a wrong checksum.
    """
    # tqdm shows no bar for None if standard error is not a terminal.
    disable = None if informs() else True
    progress = _Progress(desc=file.name, unit="B", unit_scale=True, delay=0.2, disable=disable)
    outcome: Future[Path] = Future()
    work = threading.Thread(
        target=_retrieve, args=(url, file, patience, progress, outcome), daemon=True
    )
    work.start()
    try:
        while not wait([outcome], timeout=0.05).done:
            if time.monotonic() - progress.last_news > patience:
                raise TimeoutError(f"no answer for {patience:g} seconds")
        return outcome.result()
    finally:
        # Also after Ctrl-C: the thread has a second to remove its temporary file.
        progress.given_up = True
        work.join(timeout=1)
        progress.close()


def _retrieve(
    url: str, file: official.Official, patience: float, progress: _Progress, outcome: Future[Path]
) -> None:
    """What the thread does: sets the path of the file, or the error."""
    pooch.get_logger().disabled = not informs()
    responses: list = []
    downloader = pooch.HTTPDownloader(
        progressbar=progress,
        chunk_size=1 << 14,
        timeout=patience,
        hooks={"response": lambda response, **_: responses.append(response)},
    )
    try:
        cache = places.cache_folder()
        path = pooch.retrieve(url, f"md5:{file.md5}", file.name, cache, downloader=downloader)
        outcome.set_result(Path(path))
    except BaseException as error:
        outcome.set_exception(error)
    finally:
        # pooch leaves the connection of a failed download open.
        for response in responses:
            response.close()
