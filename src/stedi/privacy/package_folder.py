"""The folder of a person's data: only its owner can read it, and it appears under its name as a whole or not at all."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from stedi.config import Settings
from stedi.errors import OutputError, UsageError
from stedi.steps.registry.published_models import models_folder
from stedi.storage.disk import exclusive_lock, fsync

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class PackageFile:
    """A file of a package.

    Attributes:
        name: path relative to the folder.
        rows: number of rows; None if it is no table.
        bytes: size.
        sha256: SHA-256 of its content, hexadecimal.
    """

    name: str
    rows: int | None
    bytes: int
    sha256: str


def check_package_folder(settings: Settings, out: Path) -> Path:
    """Check that a package can be written to a folder. Writes nothing.

    Args:
        settings: the folders in which no package may be.
        out: the folder as the user gave it.

    Returns:
        Its absolute path.

    Raises:
        UsageError: it is not empty, no folder, not on this machine, or inside a folder of the lakehouse.
    """
    if "://" in str(out) or str(out).lower().startswith(("s3:", "s3a:", "s3n:")):
        raise UsageError("--out is an address of a store; name a folder on this machine")
    folder = out.resolve()
    places = {
        "landing folder": settings.landing,
        "warehouse": settings.warehouse,
        "privacy folder": settings.privacy_folder,
        "models folder": str(models_folder(settings)),
    }
    for what, address in places.items():
        if "://" in address:
            continue
        place = Path(address).resolve()
        if folder == place or place in folder.parents:
            raise UsageError(f"--out is inside the {what}; name a folder outside of the lakehouse")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError("--out is not an empty folder; name a new one")
    except OSError as error:
        raise UsageError(f"--out can't be read ({error.strerror}); name another folder") from None
    return folder


@dataclass(frozen=True)
class Draft:
    """A private folder beside the final one.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def package(self) -> Path:
        """Folder that becomes the package."""
        return self.root / "package"

    @property
    def scratch(self) -> Path:
        """Folder for temporary files. It is on the package's disk, so the system's disk needs no room for a copy."""
        return self.root / "scratch"

    def make_empty(self, folder: Path) -> None:
        """Create one of the folders. Its content is deleted if it exists."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)


@contextmanager
def draft_package(folder: Path) -> Iterator[Draft]:
    """Create a draft of a package, and remove it afterwards.

    A killed export leaves it behind. The next export to the same folder removes it.

    Raises:
        UsageError: another export writes to the same folder.
        OutputError: the draft can't be written.
    """
    draft = Draft(folder.with_name(f".{folder.name}.draft"))
    with ExitStack() as stack:
        with translate_write_errors():
            draft.root.parent.mkdir(parents=True, exist_ok=True)
            draft.root.mkdir(mode=0o700, exist_ok=True)
            _check_owner(draft.root)
            try:
                stack.enter_context(exclusive_lock(draft.root / ".lock"))
            except BlockingIOError:
                raise UsageError("another export writes to --out; wait for it to end, or name another folder") from None
            stack.callback(shutil.rmtree, draft.root, ignore_errors=True)
            draft.make_empty(draft.package)
            draft.make_empty(draft.scratch)
        yield draft


def _check_owner(draft: Path) -> None:
    """Check that a draft which existed is a folder of this user: in a shared folder, anybody may have made one.

    Raises:
        OutputError: it is not.
    """
    status = draft.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise OutputError("the folder of --out contains a draft that is not a folder of this user; name another folder")
    draft.chmod(0o700)


@contextmanager
def translate_write_errors() -> Iterator[None]:
    """Replace errors of the disk by one line. The folder's name may contain an address, so it is not in the message.

    Raises:
        OutputError: the package can't be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the folder of --out can't be written: {error.strerror or error}; make room or grant access, then run again"
        ) from error


def publish_package(draft: Draft, folder: Path, rows: Mapping[str, int]) -> tuple[PackageFile, ...]:
    """Write the manifest, restrict access, and rename the package to its final name.

    Args:
        draft: its `package` has all other files.
        folder: the final name: an empty folder, or none.
        rows: number of rows by name of a file.

    Returns:
        The files with their checksums, without the manifest.

    Raises:
        OSError: a file can't be written, or the folder is no longer empty.
    """
    paths = sorted(draft.package.rglob("*"))
    files = tuple(_described(draft.package, path, rows) for path in paths if path.is_file())
    write_json(draft.package / MANIFEST, {"algorithm": "SHA-256", "files": [asdict(file) for file in files]})
    for path in (*draft.package.rglob("*"), draft.package):
        path.chmod(0o700 if path.is_dir() else 0o600)
        fsync(path)
    draft.package.rename(folder)
    fsync(folder.parent)
    return files


def write_json(file: Path, value: object) -> None:
    """Write a JSON file that people can read. Only its owner may."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text file in UTF-8. Only its owner may read it."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)


def _described(package: Path, path: Path, rows: Mapping[str, int]) -> PackageFile:
    name = str(path.relative_to(package))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return PackageFile(name, rows.get(name), path.stat().st_size, digest)
