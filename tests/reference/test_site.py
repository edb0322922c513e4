"""The documentation site: it builds without a warning, and all that it refers to is in it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
#: what a browser fetches, and not only the reader who follows a link
FETCHED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}


class References(HTMLParser):
    """Ids of a page, and what it refers to: (tag, address)."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.addresses: list[tuple[str, str]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids |= {value for key in ("id", "name") if (value := found.get(key))}
        if address := found.get(FETCHED.get(tag, "href")):
            self.addresses.append((tag, address))


def build(target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    return subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, References]:
    """Page to what it holds."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {page: References(page) for page in folder.rglob("*.html")}


def missing(site: dict[Path, References]) -> Iterator[str]:
    """Addresses within the site that lead nowhere."""
    for page, references in site.items():
        for _, address in references.addresses:
            path, part = urldefrag(address)
            if urlsplit(address).scheme or page.name == "404.html":
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{page.name}: {address}"
            elif part and target in site and unquote(part) not in site[target].ids:
                yield f"{page.name}: {address} has no such part"


def test_all_links_within_the_site_lead_somewhere(site: dict[Path, References]) -> None:
    assert sum(len(page.addresses) for page in site.values()) > 1000
    assert list(missing(site)) == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.html", tmp_path / "other.html"
    other.write_text('<h2 id="there">', encoding="utf-8")
    page.write_text(
        '<a href="other.html#there"><a href="other.html#no"><a href="no.html"><img src="no.png">'
        '<a href="#no"><a href="https://example.org/">',
        encoding="utf-8",
    )
    assert list(missing({path: References(path) for path in (page, other)})) == [
        "page.html: other.html#no has no such part",
        "page.html: no.html",
        "page.html: no.png",
        "page.html: #no has no such part",
    ]


def test_nothing_is_fetched_from_elsewhere(site: dict[Path, References]) -> None:
    assert [
        f"{page.name}: {address}"
        for page, references in site.items()
        for tag, address in references.addresses
        if tag in FETCHED and (urlsplit(address).scheme not in ("", "data") or "//" in address[:2])
    ] == []


def test_the_site_has_every_page_of_the_documentation(site: dict[Path, References]) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    names = {str(path.with_suffix(".html")).replace("README", "index") for path in pages}
    assert [name for name in names if not any(str(p).endswith(f"docs/{name}") for p in site)] == []
    everywhere = (urldefrag(a)[0] for page in site if page.name == "index.html"
                  for _, a in site[page].addresses)  # fmt: skip
    linked = {Path(address).name for address in everywhere}
    assert [name for name in names if Path(name).name not in linked] == []


def test_the_site_is_searched_from_a_file_and_fits_a_phone(
    site: dict[Path, References], chromium: Any
) -> None:
    front = min((page for page in site if page.name == "index.html"), key=lambda p: len(p.parts))
    page = chromium.new_page(offline=True, viewport={"width": 390, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    # A page that is left before its icon has come does not wait for that.
    page.on("requestfailed", lambda request: faults.append(f"{request.url} {request.failure}"))
    for name in ("index.html", "docs/gallery.html", "docs/configuration.html", "docs/api.html"):
        page.goto((front.parent / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.locator("label[for=__search]").first.click()
    page.locator(".md-search__input").press_sequentially("occlusion")
    page.locator(".md-search-result__link").first.wait_for()
    assert "occlusion" in page.locator(".md-search-result__list").inner_text().lower()
    assert [fault for fault in faults if not fault.endswith("ERR_ABORTED")] == []
    page.close()
