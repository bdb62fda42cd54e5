"""What an erasure removes, and what it leaves, as plain values. A plan has the same form as the report of what was done."""

from dataclasses import dataclass

from stedi.errors import ErasureError
from stedi.privacy.scan.roots import Doubt, Hit
from stedi.steps.registry.erased_people import ModelChange


@dataclass(frozen=True)
class FileErasure:
    """Records that are cut out of one landing file.

    Attributes:
        name: its name, without addresses.
        removed: records of the people.
        kept: records of others, which keep their bytes.
        bytes_before: size before.
        bytes_after: size after; 0 if the file is deleted.
        dropped_bytes: undecodable bytes of a damaged file, which are dropped because nobody can tell what they contain.
        is_deleted: whether no record is left.
        is_renamed: whether its name contained an address of theirs.
        sha256_before: digest of the file before.
        sha256_after: digest of the file after; None if it is deleted.
        kept_sha256: digest of the records of others, the same before and after.
    """

    name: str
    removed: int
    kept: int
    bytes_before: int
    bytes_after: int
    dropped_bytes: int
    is_deleted: bool
    is_renamed: bool
    sha256_before: str
    sha256_after: str | None
    kept_sha256: str


@dataclass(frozen=True)
class TableErasure:
    """Rows that are removed from one table.

    Attributes:
        table: name of the table.
        zone: its zone.
        rows: rows in its current snapshot before.
        history_rows: rows in the data files of all snapshots.
        snapshots: snapshots that are rewritten.
        snapshot_count: unexpired snapshots before.
        files: data files that are replaced.
        other_rows: rows of others in these files, which are written anew unchanged.
    """

    table: str
    zone: str
    rows: int
    history_rows: int
    snapshots: int
    snapshot_count: int
    files: int
    other_rows: int


@dataclass(frozen=True)
class Remains:
    """What stays, because it is not theirs or can't be erased from here.

    Attributes:
        what: what it is.
        count: how many; 0 if that is not known.
        why: why it stays, and what to do.
    """

    what: str
    count: int
    why: str

    @property
    def counted(self) -> str:
        """What it is, with its number."""
        return f"{self.count:,} {self.what}" if self.count else self.what


@dataclass(frozen=True)
class Elsewhere:
    """What a deployment keeps outside of the lakehouse.

    Attributes:
        copies: `s3://bucket/prefix/` of copies of rows, such as query results. An erasure deletes all objects below.
        remains: what can't be erased, and when it expires.
        asked_by: who asks for the erasure, if that is not the user of the operating system.
    """

    copies: tuple[str, ...] = ()
    remains: tuple[Remains, ...] = ()
    asked_by: str = ""


NOTHING_ELSEWHERE = Elsewhere()


@dataclass(frozen=True)
class Erasure:
    """A planned or finished erasure.

    Attributes:
        erasure_id: its ID; empty for a plan.
        subjects: keyed digest of each person.
        not_in_tables: people of whom no landing table has rows. They are added to the suppression list all the same.
        devices: devices that are theirs, each with its period.
        files: landing files.
        tables: tables with rows or snapshots of theirs.
        models: models that learned from them.
        log_entries: entries of the privacy log with their pseudonyms.
        old_versions: older versions of objects in S3, of everybody.
        uploads: incomplete uploads to S3.
        copies: copies of rows outside of the lakehouse, such as query results, of everybody.
        deleted_files: files that nothing refers to any longer.
        deleted_bytes: their size.
        expired: snapshots that were expired, because they can't be rewritten.
        remains: what stays.
        is_unfinished: whether an erasure was killed before its end, or the warehouse is from before an erasure.
        certificate: path of the certificate's page; empty for a plan.
        found: identifiers of the people that the scan found afterwards, by file.
        doubts: content that the scan could not open, by file.
    """

    erasure_id: str = ""
    subjects: tuple[str, ...] = ()
    not_in_tables: int = 0
    devices: int = 0
    files: tuple[FileErasure, ...] = ()
    tables: tuple[TableErasure, ...] = ()
    models: tuple[ModelChange, ...] = ()
    log_entries: int = 0
    old_versions: int = 0
    uploads: int = 0
    copies: int = 0
    deleted_files: int = 0
    deleted_bytes: int = 0
    expired: int = 0
    remains: tuple[Remains, ...] = ()
    is_unfinished: bool = False
    certificate: str = ""
    found: tuple[Hit, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.files or self.tables or self.models or self.log_entries)

    def raise_if_found(self) -> None:
        """Raise an error if the scan found identifiers of the people afterwards.

        Raises:
            ErasureError: it did.
        """
        if self.found:
            files = sorted({hit.file for hit in self.found})
            raise ErasureError(
                f"{len(files)} files still contain identifiers of erased people, first {files[0]}; no feed reads them, or "
                "another program wrote them meanwhile: delete them or remove the people from them, then start the same "
                "erasure again, which searches every byte"
            )
