"""Content of a landing file without some of its records. All other records keep their bytes and their order."""

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from stedi.ingest.landing_file import LandingFile
from stedi.ingest.record_spans import Content, NotLinesError, line_blocks, undecodable_bytes
from stedi.ingest.records import ScannedRecord, is_valid_record
from stedi.ingest.scanner import scan_records
from stedi.model.feed import Feed
from stedi.model.identity import people_in

# A record without content, which goes to quarantine.
PLACEHOLDER = b"{}"
_SEPARATORS = b" \t\r\n,[]"
_BRACKET = re.compile(rb"[\[\]]")
_COMMA_BEFORE_NOTHING, _COMMA_AFTER_NOTHING = re.compile(rb",(?=\s*[,\]])"), re.compile(rb"(\[\s*),")


class PositionError(Exception):
    """A position has no record, or its record is not one that may be removed. The message says which."""


class Removal:
    """Removes records from the content of one file, and counts.

    Attributes:
        removed: number of removed records.
        kept: number of all other records, damaged places included.
        dropped_bytes: bytes of damaged places that were dropped: undecodable ones, and the incomplete text beside them.
        placeholders: what was written in the place of removed records, by position in the new content.
    """

    def __init__(
        self,
        file: LandingFile,
        feed: Feed,
        positions: Collection[int],
        is_theirs: Callable[[str], bool],
        *,
        held: Mapping[int, Sequence[str]] | None = None,
        as_lines: bool = False,
        has_placeholders: bool = False,
    ) -> None:
        """Set what to remove.

        Args:
            file: the file's name and modification time, which decide how it is read.
            feed: its feed.
            positions: positions of the records to remove, from 1.
            is_theirs: whether the text of a record may be removed. It is also called with single addresses.
            held: positions of removed records that put the consent of other people on hold, and these people. An invalid
                record with their addresses takes the place of each.
            as_lines: whether to read it as lines. That is forty times as fast, and an error for other files.
            has_placeholders: whether to put `PLACEHOLDER` in the place of each removed record. All other records then keep
                their positions. Not for lines.
        """
        self._held = {position: _record_of(feed, people) for position, people in (held or {}).items()}
        self._file, self._feed, self._positions, self._is_theirs = file, feed, sorted(set(positions)), is_theirs
        self._as_lines = as_lines
        self._placeholder = PLACEHOLDER if has_placeholders else b""
        self._not_theirs: int | None = None
        self.removed = self.kept = self.dropped_bytes = 0
        self.placeholders: dict[int, bytes] = {}
        self._digest = hashlib.sha256()

    @property
    def kept_sha256(self) -> str:
        """SHA-256 of all kept records, each with a line feed after it and without white space around it."""
        return self._digest.hexdigest()

    def content(self, path: Path) -> Iterator[bytes]:
        """Yield the unpacked content without the removed records. Read it to its end before the counts.

        Args:
            path: the file, or a copy of it.

        Raises:
            NotLinesError: some line may be no single record, although the file is to be read as lines.
            PositionError: a position has no record, or `is_theirs` is false for its record.
            OSError: the file can't be read.
        """
        if self._as_lines:
            if self._held:
                raise NotLinesError
            yield from self._lines(path)
        elif (undecodable := undecodable_bytes(path, self._file.name)) is not None:
            self.dropped_bytes += undecodable
            yield from self._damaged(path)
        else:
            yield from self._any_layout(path)
        if self._not_theirs is not None:
            raise PositionError(f"record {self._not_theirs} is about somebody else")
        if self.removed < len(self._positions):
            missing = len(self._positions) - self.removed
            raise PositionError(
                f"{missing} of {len(self._positions)} positions are beyond its {self.kept + self.removed} records"
            )

    def _lines(self, path: Path) -> Iterator[bytes]:
        for block in line_blocks(path, self._file.name):
            first = self.kept + self.removed + 1
            begin, end = (bisect_left(self._positions, at) for at in (first, first + block.count))
            indexes = [position - first for position in self._positions[begin:end]]
            rest, removed = block.split(indexes) if indexes else (block, [])
            for index, record in zip(indexes, removed, strict=True):
                self._remove(first + index, record.decode("utf-8", "surrogateescape"))
            self.kept += rest.count
            self._digest.update(rest.joined_records())
            yield rest.content

    def _any_layout(self, path: Path) -> Iterator[bytes]:
        """Remove records and the separators that they need no longer."""
        separators: list[bytes] = []
        positions = frozenset(self._positions)
        with path.open("rb") as raw:
            content = Content(raw, self._file.name)
            for position, record in enumerate(self._scan(path), start=1):
                assert record.span
                separators.append(content.read(record.span[0]))
                text = content.read(record.span[1])
                if position in positions:
                    self._remove(position, record.text)
                    text = self._held.get(position, self._placeholder)
                    if not text:
                        continue
                    self.placeholders[self.kept + len(self.placeholders) + 1] = text
                else:
                    self._keep(text)
                yield _join(separators)
                yield text
                separators = []
            separators.append(content.read(None))
            yield _join(separators)

    def _damaged(self, path: Path) -> Iterator[bytes]:
        """Write all readable records anew, each on lines of its own, and a line of text for each damaged place.

        Nobody can say what the undecodable bytes contain, and whose text is at both sides of them.
        """
        positions = frozenset(self._positions)
        with path.open("rb") as raw:
            content = Content(raw, self._file.name)
            for position, record in enumerate(self._scan(path), start=1):
                if record.span:
                    self._drop(content.read(record.span[0]))
                    text = content.read(record.span[1])
                else:
                    text = self._describe_damage(record)
                if position in positions:
                    self._remove(position, record.text)
                    text = self._held.get(position, self._placeholder)
                    if not text:
                        continue
                    self.placeholders[self.kept + len(self.placeholders) + 1] = text
                else:
                    self._keep(text)
                yield text + b"\n"
            self._drop(content.read(None))

    def _describe_damage(self, record: ScannedRecord) -> bytes:
        """Describe a damaged place without its text, but with the addresses in it: consent of these people is on hold."""
        people: list[str] = []
        if self._feed.decides_consent:
            people = sorted(person for person in people_in(record.text) if not self._is_theirs(person))
        key = self._feed.identifying["person"].name if people else ""
        addresses = "".join(f', "{key}": {json.dumps(person)}' for person in people)
        return f"{record.reason}: its text was removed{addresses}".replace("{", "\\u007b").encode()

    def _scan(self, path: Path) -> Iterator[ScannedRecord]:
        return scan_records(path, name=self._file.name, is_valid=partial(is_valid_record, self._feed, self._file))

    def _drop(self, between: bytes) -> None:
        self.dropped_bytes += len(between.strip(_SEPARATORS))

    def _keep(self, text: bytes) -> None:
        self.kept += 1
        self._digest.update(text + b"\n")

    def _remove(self, position: int, text: str) -> None:
        self.removed += 1
        # Positions are certain only at the end of the file, which may turn out to be no lines.
        if self._not_theirs is None and not self._is_theirs(text):
            self._not_theirs = position


def _record_of(feed: Feed, people: Sequence[str]) -> bytes:
    """Return a record that is invalid, because its address is a list. It puts the consent of these people on hold."""
    return json.dumps({feed.identifying["person"].name: list(people)}).encode()


def _join(separators: list[bytes]) -> bytes:
    """Join the separators before and after removed records to one between the records that are left.

    The first one stays, and all that open or close an array. Commas stay where an array needs them.
    """
    first, *others = separators
    others = [separator for separator in others if _BRACKET.search(separator)]
    if not others:
        return first
    if b"," in first and not _BRACKET.search(first):
        first = b""
    joined = _COMMA_BEFORE_NOTHING.sub(b"", first + b"".join(others))
    return _COMMA_AFTER_NOTHING.sub(rb"\1", joined)
