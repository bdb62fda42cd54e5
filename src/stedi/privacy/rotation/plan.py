"""What a rotation of the pseudonym key changes, as plain values. A plan has the same form as the report of what was done."""

from dataclasses import dataclass

from stedi.errors import ErasureError
from stedi.privacy.scan.roots import Doubt, Hit
from stedi.steps.registry.rekeyed_people import RekeyedModel


@dataclass(frozen=True)
class RekeyedTable:
    """A table whose snapshots contain pseudonyms.

    Attributes:
        table: its name.
        zone: its zone.
        rows: rows that get new pseudonyms. Rule results get none: they lose their examples.
        snapshots: older snapshots that expire.
    """

    table: str
    zone: str
    rows: int
    snapshots: int


@dataclass(frozen=True)
class KeyRotation:
    """A planned or finished rotation.

    Attributes:
        rotation_id: its ID; empty for a plan.
        old_key_id: ID of the old key; empty if no key for such IDs exists yet.
        new_key_id: ID of the new key; empty for a plan.
        is_configured: whether the key is configured, and not stored in the warehouse.
        is_unfinished: for a plan, whether it completes an interrupted rotation.
        tables: the tables.
        runs: runs that can no longer be read with `--as-of`.
        models: the models whose lists of people get new pseudonyms.
        log_entries: entries of the privacy log.
        deleted_files: files that nothing refers to any longer.
        deleted_bytes: their size.
        certificate: name of the certificate's page in the privacy folder; empty for a plan.
        found: old pseudonyms that the scan found afterwards, by file.
        doubts: content that the scan could not open, by file.
    """

    rotation_id: str = ""
    old_key_id: str = ""
    new_key_id: str = ""
    is_configured: bool = False
    is_unfinished: bool = False
    tables: tuple[RekeyedTable, ...] = ()
    runs: int = 0
    models: tuple[RekeyedModel, ...] = ()
    log_entries: int = 0
    deleted_files: int = 0
    deleted_bytes: int = 0
    certificate: str = ""
    found: tuple[Hit, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def raise_if_found(self) -> None:
        """Raise an error if the scan found old pseudonyms afterwards.

        Raises:
            ErasureError: it did.
        """
        if self.found:
            files = sorted({hit.file for hit in self.found})
            raise ErasureError(
                f"the key was rotated, and {len(files)} files still contain old pseudonyms, first {files[0]}; another "
                "program wrote them: delete them"
            )
