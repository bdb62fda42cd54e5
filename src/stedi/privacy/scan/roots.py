"""Read all files below some folders or S3 prefixes once: their inventory, and the identifiers in them."""

import hashlib
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Thread
from time import monotonic
from typing import BinaryIO, cast

from stedi.errors import WarehouseError
from stedi.model.progress import Progress, Report
from stedi.privacy.identifiers import Identifier, Kind
from stedi.privacy.inventory import Inventory, InventoryEntry
from stedi.privacy.scan.containers import scan_container
from stedi.privacy.scan.file_scan import Container, FileScan
from stedi.privacy.scan.names import name_replacement, search_name
from stedi.privacy.scan.search import PIECE_BYTES, Matcher, Search
from stedi.storage import Warehouse, WarehouseFolder

# Below this, starting processes takes longer than reading.
_MIN_BYTES_FOR_PROCESSES = 64 << 20
# Larger objects are copied to the disk: each process has one at a time.
_MAX_COPY_IN_MEMORY = 64 << 20


@dataclass(frozen=True)
class Root:
    """A folder or S3 prefix to read.

    Attributes:
        name: first part of its files' names in the inventory, such as "warehouse".
        store: the folder or prefix.
        left_out: names of files in it that are not read, such as a journal that is deleted at the end.
    """

    name: str
    store: Warehouse
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Hit:
    """How often identifiers of a kind are in a file. The file's name is safe to print."""

    file: str
    kind: Kind
    count: int


@dataclass(frozen=True)
class Doubt:
    """Content of a file that could not be searched, and why. The file's name is safe to print."""

    file: str
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """What a scan read and found; it contains no identifier.

    Attributes:
        files: number of files.
        bytes_read: size of the files.
        bytes_unpacked: bytes searched: those of the files, and of all that is packed in them.
        milliseconds: duration.
        identifiers: number of identifiers by kind that no file may contain.
        combined: number of identifiers by kind that count only together with another of the same person.
        hits: what was found.
        doubts: what could not be searched.
    """

    files: int
    bytes_read: int
    bytes_unpacked: int
    milliseconds: int
    identifiers: dict[Kind, int]
    combined: dict[Kind, int]
    hits: tuple[Hit, ...]
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True)
class _Listed:
    root: Root
    name: str
    bytes: int
    problem: str | None = None


@dataclass(frozen=True)
class _Scanned:
    entry: InventoryEntry
    unpacked: int
    kinds: Counter[Kind]
    doubts: tuple[str, ...]


class _Reader:
    """Reads single files. Each process has its own, with its own automaton."""

    def __init__(self, identifiers: Sequence[Identifier], name_key: bytes, *, searches: bool) -> None:
        self._matcher = Matcher(identifiers)
        self._safe_name = name_replacement(identifiers, name_key)
        self._searches = searches

    def read(self, listed: _Listed) -> _Scanned:
        """Hash a file, and search it. What can't be read becomes a doubt."""
        scan = FileScan(Search(self._matcher))
        parts = listed.name.split("/")
        digest, size = hashlib.sha256(), 0

        def chunks(file: BinaryIO) -> Iterator[bytes]:
            nonlocal size
            while chunk := file.read(PIECE_BYTES):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        if self._searches:
            for part in parts:
                search_name(part, scan.search)
        if listed.problem:
            scan.doubts.add(listed.problem)
        else:
            try:
                file, path = _open(listed)
                with closing(file):
                    if self._searches:
                        scan_container(Container(file, parts[-1], path, 0), scan, chunks(file))
                    else:
                        for _ in chunks(file):
                            pass
            except OSError as error:
                scan.doubts.add(f"can't be read: {error.strerror or type(error).__name__}")
        entry = InventoryEntry(f"{listed.root.name}/{self._safe_name(listed.name)}", size, digest.hexdigest())
        return _Scanned(entry, scan.search.unpacked, scan.search.by_kind(), tuple(sorted(scan.doubts)))


_reader: _Reader


def _start_process(identifiers: Sequence[Identifier], name_key: bytes, searches: bool) -> None:
    global _reader
    # Ctrl-C interrupts the main process, which ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    _reader = _Reader(identifiers, name_key, searches=searches)


def _end_with_parent() -> None:
    """End this process when the main one is killed: it would wait for the next file for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read_in_process(listed: _Listed) -> _Scanned:
    return _reader.read(listed)


def scan(
    roots: Sequence[Root], identifiers: Sequence[Identifier], name_key: bytes, report: Report
) -> tuple[Inventory, ScanResult]:
    """Read every byte below some folders or prefixes, unpacked, and search it for identifiers.

    Args:
        roots: what to read.
        identifiers: what to search for.
        name_key: key of the digests that replace personal parts of file names.
        report: is told the progress.

    Returns:
        The inventory of all files, and what was found.

    Raises:
        OSError, WarehouseError: a folder or prefix can't be listed, or a process was ended by the system.
    """
    began = monotonic()
    scanned = _read_all(roots, identifiers, name_key, report, searches=True)
    demanded = Counter(identifier.kind for identifier in identifiers if identifier.demanded_absent)
    combined = Counter(identifier.kind for identifier in identifiers if not identifier.demanded_absent)
    result = ScanResult(
        files=len(scanned),
        bytes_read=sum(file.entry.bytes for file in scanned),
        bytes_unpacked=sum(file.unpacked for file in scanned),
        milliseconds=round((monotonic() - began) * 1000),
        identifiers=dict(demanded),
        combined=dict(combined),
        hits=tuple(Hit(file.entry.name, kind, n) for file in scanned for kind, n in sorted(file.kinds.items()) if n),
        doubts=tuple(Doubt(file.entry.name, reason) for file in scanned for reason in file.doubts),
    )
    return Inventory(tuple(file.entry for file in scanned)), result


def take_inventory(
    roots: Sequence[Root], identifiers: Sequence[Identifier], name_key: bytes, report: Report
) -> tuple[Inventory, tuple[Doubt, ...]]:
    """Read every byte below some folders or prefixes for its digest alone.

    Args:
        roots: what to read.
        identifiers: what is replaced in names of files.
        name_key: key of the digests that replace personal parts of file names.
        report: is told the progress.

    Returns:
        The inventory of all files, and which of them could not be read.

    Raises:
        OSError, WarehouseError: a folder or prefix can't be listed, or a process was ended by the system.
    """
    scanned = _read_all(roots, identifiers, name_key, report, searches=False)
    doubts = tuple(Doubt(file.entry.name, reason) for file in scanned for reason in file.doubts)
    return Inventory(tuple(file.entry for file in scanned)), doubts


def _read_all(
    roots: Sequence[Root], identifiers: Sequence[Identifier], name_key: bytes, report: Report, *, searches: bool
) -> list[_Scanned]:
    """Read all files, the largest first so that no process ends long after the others. Return them sorted by name."""
    listed = sorted((file for root in roots for file in _list(root)), key=lambda file: -file.bytes)
    processes = min(os.cpu_count() or 1, len(listed))
    step = "searching files" if searches else "reading files"

    def collect(results: Iterator[_Scanned]) -> list[_Scanned]:
        scanned = []
        for result in results:
            scanned.append(result)
            report(Progress(step, len(scanned), len(listed), "files"))
        return sorted(scanned, key=lambda file: file.entry.name)

    if processes < 2 or sum(file.bytes for file in listed) < _MIN_BYTES_FOR_PROCESSES:
        reader = _Reader(identifiers, name_key, searches=searches)
        return collect(map(reader.read, listed))
    # A forked process would inherit locks of the engine's threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start_process, (identifiers, name_key, searches))
    try:
        return collect(pool.map(_read_in_process, listed))
    except BrokenProcessPool:
        raise WarehouseError(
            f"a process that read {len(listed):,} files was ended by the system; make memory free, then run again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _list(root: Root) -> Iterator[_Listed]:
    if not isinstance(root.store, WarehouseFolder):
        yield from (_Listed(root, file.name, file.bytes) for file in root.store.list("") if file.name not in root.left_out)
        return
    top = str(root.store.root)
    problems: list[tuple[str, str]] = []

    def note(error: OSError) -> None:
        if str(error.filename) != top or not isinstance(error, FileNotFoundError):
            problems.append((str(error.filename), f"can't be listed: {error.strerror}"))

    for parent, folders, names in os.walk(top, onerror=note):
        for name in folders:
            if Path(parent, name).is_symlink():
                problems.append((f"{parent}/{name}", "link to a folder; what is in it was not read"))
        for name in names:
            path = Path(parent, name)
            relative = str(path)[len(top) + 1 :]
            if relative not in root.left_out:
                yield _listed_file(root, path, relative)
    yield from (_Listed(root, path[len(top) + 1 :], 0, problem) for path, problem in problems)


def _listed_file(root: Root, path: Path, name: str) -> _Listed:
    try:
        size = path.stat().st_size
    except OSError as error:
        return _Listed(root, name, 0, f"can't be read: {error.strerror}")
    return _Listed(root, name, size, None if path.is_file() else "neither a file nor a folder")


def _open(listed: _Listed) -> tuple[BinaryIO, str | None]:
    store = listed.root.store
    if isinstance(store, WarehouseFolder):
        path = store.path(listed.name)
        return Path(path).open("rb"), path
    # A copy, because S3's streams can't seek. Its file has no name, so that a killed process leaves none.
    with ExitStack() as stack:
        file = stack.enter_context(SpooledTemporaryFile(_MAX_COPY_IN_MEMORY))
        store.copy_to(listed.name, cast(BinaryIO, file))
        stack.pop_all()
        return cast(BinaryIO, file), None
