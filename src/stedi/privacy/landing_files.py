"""Remove records of erased people from landing files, in a folder or in S3.

A file is written anew without the records, beside the old one, read again, and then replaces it. All other records keep
their bytes and order, and the file its compression, permissions and modification time.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.errors import LandingError
from stedi.ingest.compression import SNIFFED_BYTES, compress, detect_compression, detect_other_format
from stedi.ingest.damage import Compression
from stedi.ingest.landing_file import LandingFile, ending_of, is_unchanged, safe_name, stat_file
from stedi.ingest.listing import is_in_s3, local_copies
from stedi.ingest.record_spans import NotLinesError
from stedi.ingest.skipped_files import shown_name
from stedi.model.feed import Feed
from stedi.privacy.record_removal import PositionError, Removal
from stedi.storage.disk import fsync

# One name per folder: hidden from the landing reader, and found again after a kill. It contains nothing of the file's name.
_DRAFT = ".stedi-erasure.draft"
_NEXT_STEPS = {
    errno.ENOSPC: "make room on the disk",
    errno.EROFS: "mount the disk writable",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "grant this user write access to the file and its folder"),
}

# How a file is rewritten: as lines, then in any layout, and with placeholders if unreadable text would be read differently
# with a record less. As (as lines, with placeholders).
_ATTEMPTS = ((True, False), (False, False), (False, True))

IsTheirs = Callable[[str], bool]
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class RewrittenFile:
    """A landing file without the removed records, or what it will be.

    Attributes:
        name: its name before, relative to the landing folder, escaped by `safe_name`. May contain an address.
        new_name: its name now, if that had to change.
        removed_records: number of removed records.
        kept_records: number of all other records, damaged places included.
        placeholders: number of removed records that others took the place of, which go to quarantine: records with the
            addresses of people whose consent is on hold, and `{}` if unreadable text in the file would be read differently
            without it. Normally 0.
        bytes_before: size of the file before.
        bytes_after: its size now. 0 if it was deleted, because no record was left.
        sha256_before: SHA-256 of the whole file before.
        sha256_after: SHA-256 of the whole file now. None if it was deleted.
        kept_sha256: SHA-256 of the kept records before and after; see `Removal.kept_sha256`.
        dropped_bytes: bytes of damaged places that were dropped: undecodable ones, and the incomplete text beside them.
        modified_ns: modification time before (ns since the epoch, UTC). A file keeps it, an object in S3 gets a new one.
        file: the version now. None if the file was deleted, or if this is a plan.
        link_target: path of the file itself, if the landing file is a link to it. The file is written there.
        other_names: number of other names (hard links) that still have the old content.
        is_versioned: whether the bucket keeps the version before; see `storage.s3_versions`.
    """

    name: str
    new_name: str | None
    removed_records: int
    kept_records: int
    placeholders: int
    bytes_before: int
    bytes_after: int
    sha256_before: str
    sha256_after: str | None
    kept_sha256: str
    dropped_bytes: int
    modified_ns: int
    file: LandingFile | None = None
    link_target: str | None = None
    other_names: int = 0
    is_versioned: bool = False


def plan_removal(
    file: LandingFile,
    feed: Feed,
    positions: Collection[int],
    is_theirs: IsTheirs,
    *,
    scratch: Path,
    is_name_theirs: IsTheirs = lambda part: False,
    held: Mapping[int, Sequence[str]] | None = None,
) -> RewrittenFile:
    """Say what `remove_records` will do, with the same arguments, errors and numbers. Writes only to `scratch`."""
    with _translate_errors(file), _local_copy(file, scratch) as path, TemporaryDirectory(dir=scratch) as folder:
        return _rewrite(file, feed, positions, is_theirs, is_name_theirs, held, path, Path(folder, _DRAFT))


def remove_records(
    file: LandingFile,
    feed: Feed,
    positions: Collection[int],
    is_theirs: IsTheirs,
    *,
    scratch: Path,
    is_name_theirs: IsTheirs = lambda part: False,
    held: Mapping[int, Sequence[str]] | None = None,
) -> RewrittenFile:
    """Remove records from a landing file. If it has no other records, it is deleted.

    The file is replaced atomically, after the new content was read again: it must contain all other records in their order,
    byte for byte. If anything fails before, the file is unchanged. Checksum files (`.crc`) of the old content are deleted,
    and so are folders that become empty.

    Of a damaged compressed file, all readable records are written anew, each on lines of its own. A damaged place becomes a
    line of text, so that it is still in quarantine, with the addresses in it that are not to be removed.

    Args:
        file: the listed version of the file.
        feed: its feed.
        positions: positions of the records to remove, as the landing reader gives them, from 1. May be empty if only the
            name is to change.
        is_theirs: whether the text of a record may be removed. Also called with single addresses from damaged places.
        scratch: existing folder for copies of objects in S3.
        is_name_theirs: whether a folder's or file's name names somebody who is erased. The file then gets a neutral name,
            made from its content.
        held: positions of records that put the consent of other people on hold, and these people. An invalid record with
            their addresses takes the place of each, so that the hold remains.

    Raises:
        LandingError: the file changed or can't be read or written, a position has no record or somebody else's, or the other
            records would be read differently. The file is unchanged.
    """
    with _translate_errors(file), _local_copy(file, scratch) as path:
        draft = path.with_name(_DRAFT)
        # A killed erasure may have left one.
        draft.unlink(missing_ok=True)
        try:
            rewritten = _rewrite(file, feed, positions, is_theirs, is_name_theirs, held, path, draft)
            if not rewritten.removed_records and not rewritten.new_name:
                return replace(rewritten, file=file)
            replace_file = _replace_object if is_in_s3(file.path) else _replace_file
            return replace_file(file, path, draft, rewritten)
        finally:
            draft.unlink(missing_ok=True)


def delete_drafts(landing: Path) -> int:
    """Delete the files that killed erasures left below a local landing folder; returns their number.

    Raises:
        OSError: one can't be deleted.
    """
    drafts = [Path(folder, _DRAFT) for folder, _, names in os.walk(landing) if _DRAFT in names]
    for draft in drafts:
        draft.unlink(missing_ok=True)
        fsync(draft.parent)
    return len(drafts)


def delete_empty_folders(landing: str, is_theirs: IsTheirs) -> None:
    """Delete the empty folders below a local landing folder that name somebody. A killed erasure may have left one.

    Args:
        landing: the landing folder.
        is_theirs: whether the name of a folder names somebody who is erased.

    Raises:
        OSError: one can't be deleted.
    """
    for folder, _, _ in os.walk(landing, topdown=False):
        path = Path(folder)
        if is_theirs(path.name) and path != Path(landing) and not any(path.iterdir()):
            path.rmdir()
            fsync(path.parent)


def remove_file(landing: str, name: str) -> None:
    """Delete a file of any name below the landing folder, such as a hidden one. A missing file is no error.

    Args:
        landing: a folder or an `s3://` prefix.
        name: path of the file relative to it, not escaped.

    Raises:
        LandingError: the name leads out of the landing folder, or the file can't be deleted.
    """
    file = LandingFile(name, f"{landing.rstrip('/')}/{name}", "", 0)
    if is_in_s3(landing):
        from stedi.ingest import s3

        s3.delete_object(file.path)
        return
    with _translate_errors(file):
        path = Path(file.path)
        if ".." in Path(name).parts or not path.parent.resolve().is_relative_to(Path(landing).resolve()):
            raise LandingError(f"{shown_name(safe_name(name))} is not below the landing folder; nothing was deleted")
        with suppress(FileNotFoundError):
            path.unlink()
            fsync(path.parent)


class _Digest:
    """Size and SHA-256 of a file's bytes."""

    def __init__(self) -> None:
        self.bytes, self._sha256 = 0, hashlib.sha256()

    def update(self, content: bytes) -> None:
        self.bytes += len(content)
        self._sha256.update(content)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


def _digest(path: Path) -> _Digest:
    digest = _Digest()
    with path.open("rb") as file:
        while content := file.read(_READ_BYTES):
            digest.update(content)
    return digest


def sha256_of(file: LandingFile, scratch: Path) -> str:
    """Return the SHA-256 of a whole landing file.

    Args:
        file: the file.
        scratch: existing folder for copies of objects in S3.

    Raises:
        LandingError: the file changed after it was listed, or can't be read.
    """
    with _translate_errors(file), _local_copy(file, scratch) as path:
        return _digest(path).sha256


def _compression(path: Path, name: str) -> Compression | None:
    with path.open("rb") as file:
        return detect_compression(file.read(SNIFFED_BYTES), name)


def _rewrite(
    file: LandingFile,
    feed: Feed,
    positions: Collection[int],
    is_theirs: IsTheirs,
    is_name_theirs: IsTheirs,
    held: Mapping[int, Sequence[str]] | None,
    path: Path,
    draft: Path,
) -> RewrittenFile:
    """Write the draft of a file without some records, and read it again."""
    compression, before = _compression(path, file.name), _digest(path)
    for as_lines, has_placeholders in _ATTEMPTS:
        removal = Removal(file, feed, positions, is_theirs, held=held, as_lines=as_lines, has_placeholders=has_placeholders)
        draft.unlink(missing_ok=True)
        with suppress(NotLinesError):
            after = _write(removal, path, draft, compression)
            is_kept = bool(removal.kept or held)
            if not is_kept or _is_same(file, feed, draft, removal):
                break
    else:
        raise LandingError(
            f"landing file {shown_name(file.name)}: without the records, unreadable text in it would be read differently; "
            "it is unchanged; correct or delete the file, then run the same command again"
        )
    if not removal.removed:
        after = before
    rewritten = RewrittenFile(
        name=file.name,
        new_name=_neutral_name(file, after.sha256, is_name_theirs) if is_kept else None,
        removed_records=removal.removed,
        kept_records=removal.kept,
        placeholders=len(removal.placeholders),
        bytes_before=before.bytes,
        bytes_after=after.bytes if is_kept else 0,
        sha256_before=before.sha256,
        sha256_after=after.sha256 if is_kept else None,
        kept_sha256=removal.kept_sha256,
        dropped_bytes=removal.dropped_bytes,
        modified_ns=file.modified_ns,
    )
    if is_in_s3(file.path):
        from stedi.ingest import s3

        return replace(rewritten, is_versioned=s3.is_versioned(file))
    link_target = str(path) if Path(file.path).is_symlink() else None
    return replace(rewritten, link_target=link_target, other_names=path.stat().st_nlink - 1)


def _write(removal: Removal, path: Path, draft: Path, compression: Compression | None) -> _Digest:
    """Write the file without the removed records, readable by this user only, and sync it to the disk."""
    after = _Digest()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        for packed in compress(removal.content(path), compression):
            file.write(packed)
            after.update(packed)
        file.flush()
        os.fsync(file.fileno())
    return after


def _is_same(file: LandingFile, feed: Feed, draft: Path, removal: Removal) -> bool:
    """Whether a new file, read again, contains the kept records, the placeholders, and nothing else."""
    placeholders = removal.placeholders
    texts = set(placeholders.values())
    with draft.open("rb") as new:
        if detect_other_format(new.read(SNIFFED_BYTES)):
            return False
    for as_lines in (True, False):
        again = Removal(file, feed, placeholders, lambda text: text.encode() in texts, as_lines=as_lines)
        try:
            for _ in again.content(draft):
                pass
        except NotLinesError:
            continue
        except PositionError:
            return False
        return (again.kept, again.kept_sha256, again.dropped_bytes) == (removal.kept, removal.kept_sha256, 0)
    return False


def _neutral_name(file: LandingFile, sha256: str, is_name_theirs: IsTheirs) -> str | None:
    """Return a file name without the parts that name somebody; None if there are none.

    It depends on the content alone, so that an erasure that goes on after a kill gives the same name.
    """
    feed_folder, *folders, last = _raw_name(file).split("/")
    kept = [folder for folder in folders if not is_name_theirs(folder)]
    if kept == folders and not is_name_theirs(last):
        return None
    return "/".join([feed_folder, *kept, f"erased-{sha256[:16]}{ending_of(last)}"])


def _raw_name(file: LandingFile) -> str:
    """Return a file's name relative to the landing folder, not escaped."""
    return "/".join(file.path.split("/")[-file.name.count("/") - 1 :])


@contextmanager
def _local_copy(file: LandingFile, scratch: Path) -> Iterator[Path]:
    """Provide the path of a local file, or of a copy of an object. A link leads to its target.

    Raises:
        LandingError: the file changed after it was listed, or can't be read.
    """
    with local_copies([file], scratch) as copies:
        if not copies or not is_unchanged(copies[0]):
            raise _changed(file)
        path = Path(copies[0].path)
        yield path.resolve() if path.is_symlink() else path


def _changed(file: LandingFile) -> LandingError:
    return LandingError(
        f"landing file {shown_name(file.name)} changed after it was listed; nothing was removed from it; "
        "run the same command again"
    )


def _replace_file(file: LandingFile, path: Path, draft: Path, rewritten: RewrittenFile) -> RewrittenFile:
    listed = Path(file.path)
    root = listed.parents[file.name.count("/")]
    for checksum in (f"{listed.name}.crc", f".{listed.name}.crc"):
        listed.with_name(checksum).unlink(missing_ok=True)
    if rewritten.sha256_after:
        _copy_attributes(path, draft)
    if not is_unchanged(file):
        raise _changed(file)
    if rewritten.sha256_after:
        if rewritten.removed_records:
            # Replaces the old file in one step.
            draft.rename(path)
            fsync(path.parent)
        current = listed
        if rewritten.new_name:
            current = root / rewritten.new_name
            _rename(listed, current)
        rewritten = replace(rewritten, file=stat_file(current, rewritten.new_name or _raw_name(file)))
    else:
        path.unlink()
        fsync(path.parent)
        listed.unlink(missing_ok=True)
    draft.unlink(missing_ok=True)
    _delete_empty_folders(listed.parent, root / _raw_name(file).split("/")[0])
    return rewritten


def _rename(path: Path, new: Path) -> None:
    if path.is_symlink():
        # Its target may be relative to its folder.
        target = path.resolve()
        path.unlink()
        new.symlink_to(target)
    else:
        path.rename(new)
    fsync(new.parent)


def _copy_attributes(path: Path, draft: Path) -> None:
    """Give the new file the old one's owner, if that is allowed, and its permissions, times and extended attributes."""
    status = path.stat()
    for owner in (status.st_uid, -1):
        with suppress(PermissionError):
            os.chown(draft, owner, status.st_gid)
            break
    shutil.copystat(path, draft)
    fsync(draft)


def _delete_empty_folders(folder: Path, feed_folder: Path) -> None:
    """Delete a folder and those above it while they are empty: a folder may be named by an address."""
    fsync(folder)
    while folder != feed_folder and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
        fsync(folder)


def _replace_object(file: LandingFile, path: Path, draft: Path, rewritten: RewrittenFile) -> RewrittenFile:
    from stedi.ingest import s3

    if not rewritten.sha256_after:
        if not s3.delete_listed(file):
            raise _changed(file)
        return rewritten
    content = draft if rewritten.removed_records else path
    new = s3.replace_object(file, content, rewritten.new_name)
    if new is None:
        raise _changed(file)
    for folder, _, name in [file.path.rpartition("/")]:
        for checksum in (f"{name}.crc", f".{name}.crc"):
            s3.delete_object(f"{folder}/{checksum}")
    return replace(rewritten, file=new)


@contextmanager
def _translate_errors(file: LandingFile) -> Iterator[None]:
    """Replace errors by one line.

    Raises:
        LandingError: the file can't be read or written, or a position has no record or somebody else's.
    """
    name = shown_name(safe_name(file.name))
    try:
        yield
    except PositionError as error:
        raise LandingError(
            f"landing file {name}: {error}; nothing was removed from it; run the same command again, which reads it again"
        ) from None
    except OSError as error:
        next_step = _NEXT_STEPS.get(error.errno or 0, "check the file and its folder")
        raise LandingError(
            f"landing file {name} can't be rewritten: {error.strerror}; {next_step}, then run the same command again"
        ) from error
