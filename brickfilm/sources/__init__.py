"""Where footage comes from. A new source is one new file, and a line here."""

from brickfilm.sources.folder import FolderSource

__all__ = ["FolderSource"]
