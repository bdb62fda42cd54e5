"""One landing file and its version, and the file names that are ingested."""

import errno
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_COMPRESSED_ENDINGS = (".gz", ".bz2", ".zst")
# Names of objects from Firehose: a stream's name, which may contain dots, a time and an id. They have no ending.
_FIREHOSE = re.compile(r".*-\d{4}(-\d\d){5}-[0-9a-f-]{4,}", re.DOTALL)

_UPLOADING, _CHECKSUM = "._copying_", ".crc"
# Line breaks, control characters of terminals, bytes that are not UTF-8 (lone surrogates), and the escape itself.
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class LandingFile:
    """One version of a landing file.

    Attributes:
        name: path relative to the landing folder, escaped by `safe_name`.
        path: local path or `s3://bucket/key`.
        version: text that changes if the content does.
        modified_ns: time of the last write (ns since the epoch, UTC).
        is_copy: whether `path` is a temporary copy of this version.
        has_older_time: whether `modified_ns` is older than the stored file, which was rewritten without records of erased
            people and could not keep its time.
    """

    name: str
    path: str
    version: str
    modified_ns: int
    is_copy: bool = False
    has_older_time: bool = False


def skip_reason(name: str) -> str | None:
    """Return why a file of this name, relative to the landing folder, is skipped; None if it is ingested."""
    # Copying tools often write to a hidden folder first. Keys in S3 may contain . and .. as parts.
    if any(part.startswith((".", "_")) and part not in (".", "..") for part in name.split("/")):
        return "hidden"
    lower = name.lower()
    if lower.endswith(_UPLOADING):
        return "upload in progress"
    if lower.endswith(_CHECKSUM):
        return "checksum file"
    return None if ending_of(name) is not None else "other ending"


def is_landing_name(name: str) -> bool:
    """Whether a file of this name, relative to the landing folder, is ingested."""
    return skip_reason(name) is None


def has_json_ending(name: str) -> bool:
    """Whether a file name has an ending for JSON, such as `.json.gz`."""
    return ending_of(name) not in (None, "", *_COMPRESSED_ENDINGS)


def ending_of(name: str) -> str | None:
    """Return the ending of a landing file's name in lower case, such as `.json.gz`; None for other endings."""
    base = name.rpartition("/")[2].lower()
    compressed = next((ending for ending in _COMPRESSED_ENDINGS if base.endswith(ending)), "")
    base = base.removesuffix(compressed)
    ending = next((ending for ending in _JSON_ENDINGS if base.endswith(ending)), "")
    if not ending and "." in base and not _FIREHOSE.fullmatch(base):
        return None
    return ending + compressed


def safe_name(name: str) -> str:
    """Escape a file name to one line of valid UTF-8. Different names stay different."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


def stat_file(path: Path, name: str) -> LandingFile:
    """Return the current version of a local file.

    Size and modification time alone miss a rewrite that restores the time. So the version includes the inode's
    change time and number.

    Raises:
        OSError: there is no regular file, or no permission to see it.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
    version = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return LandingFile(safe_name(name), str(path), version, status.st_mtime_ns)


def is_unchanged(file: LandingFile) -> bool:
    """Whether a file still has the version that was listed. Copies always do."""
    if file.is_copy:
        return True
    try:
        return stat_file(Path(file.path), file.name).version == file.version
    except OSError:
        return False
