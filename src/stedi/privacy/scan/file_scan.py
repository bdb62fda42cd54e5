"""The scan of one file: its matches so far, and what could not be opened."""

from dataclasses import dataclass, field
from typing import BinaryIO

from stedi.privacy.scan.search import Search


@dataclass
class FileScan:
    """The scan of one file.

    Attributes:
        search: the matches.
        doubts: why some content could not be searched, without any content.
    """

    search: Search
    doubts: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Container:
    """A file, or content found in one.

    Attributes:
        file: the content, seekable.
        name: name of the file; empty for content that was found in a container.
        path: path of a file on disk; None for content that was found in a container.
        depth: number of containers around it.
    """

    file: BinaryIO
    name: str
    path: str | None
    depth: int
