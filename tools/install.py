"""Installs what `make` needs into the environment of the Python that runs this.

    .venv/bin/python -I tools/install.py             # nst_jax and what it needs
    .venv/bin/python -I tools/install.py dev cuda    # and these extras

An environment into which another checkout is installed remains that one's: it gets what is missing
of the dependencies, no more. `make` takes the code of this checkout by PYTHONPATH, whatever is
installed; -I keeps that variable from hiding what is.
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def origin() -> str | None:
    """Where the installed nst_jax comes from, by PEP 610; None if it is not installed."""
    try:
        text = metadata.distribution("nst_jax").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = urlparse(json.loads(text or "{}").get("url", ""))
    return url2pathname(url.path) or "a package index"


def dependencies(extras: list[str]) -> list[str]:
    """The requirements of the package with some of its extras, each once."""
    found = list(PROJECT["dependencies"])
    for requirement in (
        each for extra in extras for each in PROJECT["optional-dependencies"][extra]
    ):
        own = re.fullmatch(r"nst_jax\[(.*)\]", requirement)
        found += dependencies(own[1].split(",")) if own else [requirement]
    return list(dict.fromkeys(found))


def main(extras: list[str]) -> int:
    found = origin()
    if found is None or Path(found) == ROOT:
        wanted = ["--editable", f".[{','.join(extras)}]" if extras else "."]
    else:
        print(f"{sys.prefix} has nst_jax from {found}, which stays: its nst-jax runs that one")
        wanted = dependencies(extras)
    command = [sys.executable, "-m", "pip", "install", "--quiet", *wanted]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
