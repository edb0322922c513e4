"""Take the pictures of docs/get_started.md: the atlas and the report of a study, in a browser.

`python benchmarks/screenshots.py results/mine` once that page was followed.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ASSETS = Path(__file__).parents[1] / "docs" / "assets"
SIZE, COLOURS = {"width": 1200, "height": 800}, 128


def main(folder: Path) -> None:
    """Write docs/assets/atlas.png and report.png."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(120_000)
        for name, path, height in (
            ("atlas", "atlas/index.html", SIZE["height"]),
            ("report", "report.html", 440),
        ):
            page.goto((folder / path).resolve().as_uri())
            # maps are read, or the report's frame is drawn
            page.wait_for_timeout(5_000)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture = picture.crop((0, 0, SIZE["width"], height))
            picture.quantize(COLOURS).save(ASSETS / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
