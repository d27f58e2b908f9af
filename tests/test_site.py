"""`make docs`: built strictly, every link leads somewhere, and no page fetches from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("docs", "nst_jax", "tools", "weights", "zensical.toml", "CHANGELOG.md")

pytestmark = pytest.mark.slow


def build(folder: Path) -> subprocess.CompletedProcess:
    """Builds the pages in `folder` as `make docs` does."""
    pytest.importorskip("zensical", reason="the docs extra is not installed")
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{folder / 'tools'}"}
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def copy_sources(folder: Path) -> Path:
    for name in SOURCES:
        source, copy = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.h5"))
        else:
            shutil.copy(source, copy)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = copy_sources(tmp_path_factory.mktemp("site"))
    built = build(folder)
    said = built.stdout + built.stderr
    assert built.returncode == 0, said
    # A parameter that is documented but does not exist is only said, not counted.
    assert "No issues found" in said
    assert "griffe" not in said, said
    return folder / "site"


class Page(HTMLParser):
    """What a page fetches, where its links lead, and where links can lead to."""

    def __init__(self, path: Path):
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = {name: value or "" for name, value in attributes}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a":
            self.links += [found["href"]] if "href" in found else []
            return
        self.fetched += [found[name] for name in ("src", "href", "data", "poster") if name in found]
        self.fetched += [part.split()[0] for part in found.get("srcset", "").split(",") if part]
        self.fetched += _in_css(found.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.fetched += _in_css(data)


def _in_css(css: str) -> list[str]:
    imported = re.findall(r"@import\s+[\"']([^\"']+)", css)
    return imported + re.findall(r"url\([\"']?([^\"')]+)", css)


def _is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def test_pages_and_stylesheets_fetch_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    fetched = {page: Page(page).fetched for page in pages}
    fetched |= {sheet: _in_css(sheet.read_text()) for sheet in site.rglob("*.css")}
    assert any(fetched.values())
    elsewhere = {(path.name, each) for path in fetched for each in fetched[path]}
    assert not {pair for pair in elsewhere if _is_elsewhere(pair[1])}
    for page in pages:
        for address in fetched[page]:
            if not address.startswith(("data:", "#", "/")):
                assert (page.parent / unquote(urlsplit(address).path)).is_file(), (page, address)


def test_internal_links_lead_somewhere(site):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    count = 0
    for path, page in pages.items():
        for link in filter(lambda link: not _is_elsewhere(link), page.links):
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                anchors = pages[target].anchors
                assert unquote(parts.fragment) in anchors, f"{path.name}: {link}"
            count += 1
    assert count > 1000


def test_the_reference_lists_every_name_that_its_pages_ask_for(site):
    for source in (ROOT / "docs/api").glob("*.md"):
        anchors = Page(site / f"api/{source.stem}.html").anchors
        for module, options in re.findall(r"(?m)^::: (\S+)((?:\n .+)*)", source.read_text()):
            members = re.search(r"members: \[(.+)\]", options)
            names = {f"{module}.{name}" for name in members[1].split(", ")} if members else set()
            assert names <= anchors, names - anchors
            assert any(anchor.startswith(f"{module}.") for anchor in anchors), module


def test_equations_are_mathml_and_nothing_of_latex_is_left(site):
    page = (site / "losses.html").read_text()
    assert page.count("<math") > 30
    assert "merror" not in page
    assert not re.search(r"\\(?:frac|sum|text)|\$`", page)


def test_a_broken_link_fails_the_build(tmp_path):
    folder = copy_sources(tmp_path)
    with (folder / "docs/index.md").open("a") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    built = build(folder)
    assert built.returncode != 0
    assert "page does not exist" in built.stdout + built.stderr


# In a real browser, the pages opened as files.


def test_pages_ask_for_nothing_from_elsewhere_and_fit_a_phone(site, browser):
    for name in ("index", "losses", "run-log", "performance", "api/losses", "tutorial/own-loss"):
        browser.open(site / f"{name}.html", width=390)
        assert all(url.startswith(site.as_uri()) for url in browser.requests()), browser.requests()
        assert browser.complaints() == []
        assert browser.run("document.documentElement.scrollWidth") <= 390, name


def test_the_search_answers_without_a_server(site, browser):
    browser.open(site / "index.html")
    button = "document.querySelector('.md-search__button')"
    browser.wait(f"{button} !== null")
    browser.click(button)
    field = """[...document.querySelectorAll("*")].map(each => each.shadowRoot)
               .find(root => root?.querySelector("input"))?.querySelector("input")"""
    browser.wait(f"Boolean({field})")
    browser.run(f"{field}.focus()")
    browser.call("Input.insertText", text="gram matrix")
    browser.wait(f"{field}.getRootNode().querySelectorAll('a[href*=losses]').length > 0")
