"""Builds the site into `.site/html`: `python -m docs.generator`, with the extra `docs`.

Exits with 1 if the builder or the reader of docstrings warns, a link leads nowhere, a list came apart, anything is
loaded from elsewhere or a public name is not explained.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

from . import check, pages
from .listings import LISTINGS

SITE = pages.ROOT / ".site"


def main() -> None:
    """Gathers the pages, builds the site and checks it."""
    pages.gather(pages.emptied(SITE / "pages"), LISTINGS)
    config = shutil.copy(Path(__file__).with_name("zensical.toml"), SITE)
    shutil.copy(Path(__file__).with_name("site.css"), SITE / "pages")
    built = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(config)]
    done = subprocess.run(built, check=False, stderr=subprocess.PIPE, encoding="utf-8")
    sys.stderr.write(done.stderr)
    if done.returncode:
        sys.exit(done.returncode)
    html = SITE / "html"
    listing = (pages.ROOT / "tests" / "public_api.txt").read_text(encoding="utf-8")
    found = check.problems_of(html), check.unexplained(html, check.public_names(listing))
    if problems := [*check.warnings_of(done.stderr), *itertools.chain(*found)]:
        sys.exit("\n".join(problems))
    print(f"Open {html / 'index.html'}. Its search needs a server: python -m http.server -d {html}")


if __name__ == "__main__":
    main()
