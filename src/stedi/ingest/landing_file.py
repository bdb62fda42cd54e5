"""One landing file: its name, its version, and whether its name says that it is one."""

import errno
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")


_PACKED_ENDINGS = (".gz", ".bz2", ".zst")


# Firehose names objects so, behind a stream's name that may have dots: no ending.
_FIREHOSE = re.compile(r".*-\d{4}(-\d\d){5}-[0-9a-f-]{4,}", re.DOTALL)


_UPLOADING, _CHECKSUM = "._copying_", ".crc"


# What breaks a line, steers a terminal, or is no UTF-8 (such bytes come as lone surrogates), and the escape itself.
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class LandingFile:
    """One file as it stands.

    `name` is relative to the landing folder, as safe text; `path` is where the file can be read, a
    local path or `s3://bucket/key`; `version` changes with the content. `is_copy` says that `path`
    is a copy of exactly this version.
    """

    name: str
    path: str
    version: str
    modified_ns: int
    is_copy: bool = False


def why_not_taken(name: str) -> str | None:
    """Why a file of this name below the landing folder is not taken; None where it is."""
    # What copies files often does so in a hidden folder first. Keys in S3 may hold dots as any other part.
    if any(part.startswith((".", "_")) and part not in (".", "..") for part in name.split("/")):
        return "hidden"
    lower = name.lower()
    if lower.endswith(_UPLOADING):
        return "upload in progress"
    if lower.endswith(_CHECKSUM):
        return "checksum file"
    return None if ending_of(name) is not None else "other ending"


def is_landing_name(name: str) -> bool:
    """Whether a file of this name below the landing folder is taken: one of the endings or none, and not hidden."""
    return why_not_taken(name) is None


def has_json_ending(name: str) -> bool:
    """Whether a name says that the file contains JSON."""
    return ending_of(name) not in (None, "", *_PACKED_ENDINGS)


def ending_of(name: str) -> str | None:
    """The ending of a landing file's name in lower case, such as `.json.gz`; None for other endings."""
    base = name.rpartition("/")[2].lower()
    packed = next((ending for ending in _PACKED_ENDINGS if base.endswith(ending)), "")
    base = base.removesuffix(packed)
    ending = next((ending for ending in _JSON_ENDINGS if base.endswith(ending)), "")
    if not ending and "." in base and not _FIREHOSE.fullmatch(base):
        return None
    return ending + packed


def safe_name(name: str) -> str:
    """A file's name as text that fits on one line and is valid UTF-8; different names stay different."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def look(path: Path, name: str) -> LandingFile:
    """The file as it stands now; writing to it changes its version.

    Size and modification time alone miss a rewrite that restores the time, so the inode's
    change time and number count too.

    Raises:
        OSError: no file is there, or it can't be looked at.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
    version = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return LandingFile(safe_name(name), str(path), version, status.st_mtime_ns)


def is_steady(file: LandingFile) -> bool:
    """Whether what was read from `file.path` is the version that was listed."""
    if file.is_copy:
        return True
    try:
        return look(Path(file.path), file.name).version == file.version
    except OSError:
        return False
