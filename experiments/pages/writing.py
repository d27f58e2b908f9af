"""Pages as files: a section with its figures beside it, and sections joined into one page."""

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nst_jax.report import plotting
from nst_jax.system import files

_WIDTH = 110


def write(path: Path, text: str, figures: Mapping[str, Figure]) -> None:
    """Writes a text, and the figures that it shows beside it, by their names."""
    for name, figure in figures.items():
        plotting.save(figure, path.parent / name)
    _save(text, path)


def join(sections: Sequence[Path], page: Path, opening: str) -> None:
    """Writes an opening, sections and the figures that they show as one page."""
    folder = page.parent / "images" / page.stem
    files.check_folder(folder)
    parts = [wrapped(opening)]
    for path in sections:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
            shutil.copyfile(path.parent / name, folder / name)
        parts.append(re.sub(r"(!\[[^]]*\]\()", rf"\1images/{page.stem}/", wrapped(text)))
    _save("\n\n".join(parts).rstrip() + "\n", page)


def wrapped(text: str) -> str:
    """Markdown with its long lines broken; headings, tables and figures are left as they are."""
    return "\n".join(map(_wrapped, text.splitlines()))


def _wrapped(line: str) -> str:
    if line.startswith(("#", "|", "!")):
        return line
    return textwrap.fill(
        line,
        _WIDTH,
        subsequent_indent="  " if line.startswith("- ") else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _save(text: str, path: Path) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
