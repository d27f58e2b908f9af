"""Whether a tag may become a release: it is the version of this tree, and the changelog dates it.

python -m tools.check_release v0.1.0
"""

import re
import sys
from pathlib import Path

from nst_jax.version import __version__

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def problem(tag: str, version: str, changelog: str) -> str | None:
    """What keeps the tag from being a release, in one line; None if nothing does.

    Args:
      tag: such as v0.1.0.
      version: of the package.
      changelog: its text, whose first heading is that of the newest version.
    """
    if tag != f"v{version}":
        return f"expected the tag v{version}, as nst_jax/version.py says, got {tag}: change one"
    heading = re.search(r"^## (.+)$", changelog, re.MULTILINE)
    found = heading[1] if heading else "no heading"
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", found):
        return f"CHANGELOG.md: expected `{version} (YYYY-MM-DD)` first, got `{found}`: date it"
    return None


if __name__ == "__main__":
    if found := problem(sys.argv[1], __version__, CHANGELOG.read_text()):
        sys.exit(f"error: {found}")
