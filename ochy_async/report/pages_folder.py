"""The folder of a report: which of its files are pages that this program wrote.

A page ends with a seal, a digest of its name and its content. So a copy under another name, a page that somebody has
edited and any other file are no pages of ours.

Invariant: a file of the user's is neither replaced nor removed, and until the overview is written the old one leads to
pages that are there.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from os import SEEK_END
from pathlib import Path
from typing import Final

from attrs import frozen

from ..batch.output.folder import output_errors
from ..durable_files import private_folder, write_file
from ..errors import OutputError

__all__ = ["OVERVIEW", "PagesFolder"]

OVERVIEW: Final = "index.html"
_SEAL: Final = re.compile(rb"<!-- ochy-async report [0-9a-f]{64} -->\n\Z")
_SEAL_BYTES: Final = len("<!-- ochy-async report  -->\n") + 64


@frozen
class PagesFolder:
    """A folder for pages, which are HTML files."""

    path: Path

    def open(self, names: Collection[str]) -> None:
        """Creates the folder if needed. Raises `OutputError` if pages with these names would replace other files."""
        with output_errors(self.path):
            private_folder(self.path)
        foreign = [name for name in names if self._exists(name) and not self._is_page(name)]
        if foreign:
            more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
            raise OutputError(
                f"{str(self.path / foreign[0])!r}{more} would be replaced, but a report has not written it, or it was "
                "changed since. Nothing was written. Move it elsewhere, or choose another folder for the report."
            )

    def write(self, name: str, page: str) -> None:
        """Writes a complete page, or none."""
        content = page.encode()
        with output_errors(self.path / name):
            write_file(self.path / name, content + _seal(name, content))

    def remove_others(self, names: Collection[str]) -> None:
        """Removes the pages of earlier reports that have none of these names."""
        kept = set(map(_spelled, names))
        with output_errors(self.path):
            found = [path.name for path in self.path.glob("*.html") if _spelled(path.name) not in kept]
        for name in found:
            if self._is_page(name):
                with output_errors(self.path / name):
                    (self.path / name).unlink(missing_ok=True)

    def _exists(self, name: str) -> bool:
        with output_errors(self.path / name):
            return (self.path / name).is_symlink() or (self.path / name).exists()

    def _is_page(self, name: str) -> bool:
        """Whether the file is a page that a report has written there under this name, and that nobody has changed."""
        path = self.path / name
        with output_errors(path):
            if path.is_symlink() or not path.is_file() or path.stat().st_size < _SEAL_BYTES:
                return False
            with path.open("rb") as file:
                file.seek(-_SEAL_BYTES, SEEK_END)
                if _SEAL.fullmatch(seal := file.read()) is None:  # whatever its size, it is not read whole
                    return False
                file.seek(0)
                return seal == _seal(name, file.read()[:-_SEAL_BYTES])


def _seal(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(_spelled(name).encode() + b"\n" + content).hexdigest()
    return f"<!-- ochy-async report {digest} -->\n".encode()


def _spelled(name: str) -> str:
    """The name as it is compared: file systems may return it in another case or another form of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()
