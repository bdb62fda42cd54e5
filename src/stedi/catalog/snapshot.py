"""Iceberg snapshots, and the metadata that each commit of STEDI records in its snapshot summary."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from stedi.model.data_files import WrittenFile

# Key in the snapshot summary. Its old name stays, because existing warehouses have it.
METADATA_KEY = "stedi.reflects"


@dataclass(frozen=True)
class Fingerprint:
    """What decides the rows of a derived table.

    Attributes:
        definition: digest of the table's declaration.
        parameters: digest of the query's parameters.
        inputs: version of each input table, None for an input that did not exist.
        rejects_of: digest of the list of quarantine files, for each landing table whose quarantined records the query reads.
    """

    definition: str
    parameters: str
    inputs: Mapping[str, str | None]
    rejects_of: Mapping[str, str | None]

    def has_same_query(self, other: "Fingerprint") -> bool:
        """Whether the query and its parameters are the same."""
        return (self.definition, self.parameters) == (other.definition, other.parameters)

    def changed_inputs(self, other: "Fingerprint") -> tuple[str, ...]:
        """Return the inputs of `other` whose version or quarantine files differ from this one's."""
        changed = [name for name, version in other.inputs.items() if self.inputs.get(name) != version]
        changed += [name for name, digest in other.rejects_of.items() if self.rejects_of.get(name) != digest]
        return tuple(dict.fromkeys(changed))


@dataclass(frozen=True)
class CommitMetadata:
    """What a commit records about the rows of its table.

    Rows and their provenance are committed in one step, so a crash can't separate them.

    Attributes:
        run_id: the run that made the commit.
        rows: number of rows in the table.
        version: identifies the rows. A commit that changes no rows keeps the version.
        violations: number of rows that violate each rule, by rule name.
        fingerprint: what the rows were computed from; derived tables only.
        ledger: file that lists the ingested landing files; landing tables only.
        rejects: files that contain the feed's quarantined records; landing tables only.
    """

    run_id: str
    rows: int
    version: str
    violations: Mapping[str, int] = field(default_factory=dict)
    fingerprint: Fingerprint | None = None
    ledger: str | None = None
    rejects: tuple[str, ...] = ()

    @property
    def side_files(self) -> tuple[str, ...]:
        """The files besides data files that the commit refers to, relative to the warehouse."""
        return self.rejects if self.ledger is None else (*self.rejects, self.ledger)

    def encode(self) -> str:
        """Return the JSON text for the snapshot summary."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "rows": self.rows,
            "version": self.version,
            "rules": dict(self.violations),
        }
        if self.fingerprint is not None:
            document |= asdict(self.fingerprint)
        if self.ledger is not None:
            document |= {"ledger": self.ledger, "rejects": self.rejects}
        return json.dumps(document, sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Parse the JSON text of a snapshot summary.

        Raises:
            LookupError, TypeError, ValueError: the text is damaged.
        """
        document = json.loads(text)
        fingerprint = None
        if "definition" in document:
            fingerprint = Fingerprint(
                document["definition"], document["parameters"], document["inputs"], document["rejects_of"]
            )
        return cls(
            document["run_id"],
            document["rows"],
            document["version"],
            document.get("rules", {}),
            fingerprint,
            document.get("ledger"),
            tuple(document.get("rejects", ())),
        )


@dataclass(frozen=True)
class Commit:
    """One atomic change of a table.

    Attributes:
        added: data files to add.
        removed: paths of data files to remove.
        metadata: what the commit records about the rows that result.
    """

    added: Sequence[WrittenFile]
    removed: Sequence[str]
    metadata: CommitMetadata

    def metadata_after(self, before: "Snapshot | None") -> CommitMetadata:
        """Return the metadata to record if the commit follows `before`. Without a change of files it keeps the version."""
        if before is None or self.added or self.removed:
            return self.metadata
        return replace(self.metadata, version=before.version)


@dataclass(frozen=True)
class Snapshot:
    """One committed state of a table.

    Attributes:
        id: Iceberg's snapshot ID; negative in the draft of a dry run, which commits nothing.
        parent_id: ID of the snapshot before.
        committed_at: time of the commit (UTC).
        operation: Iceberg's operation, such as "append" or "overwrite".
        metadata: what our commit recorded; None for commits of other writers, such as Athena.
        total_rows: number of rows according to Iceberg's summary.
        sequence_number: Iceberg's sequence number, which increases with each commit.
    """

    id: int
    parent_id: int | None
    committed_at: datetime.datetime
    operation: str
    metadata: CommitMetadata | None
    total_rows: int = 0
    sequence_number: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether STEDI made the commit."""
        return self.metadata is not None

    @cached_property
    def version(self) -> str:
        """Identifies the rows. Commits that change no row have the version of their parent."""
        return str(self.id) if self.metadata is None else self.metadata.version

    @property
    def rows(self) -> int:
        """Number of rows in the table."""
        return self.total_rows if self.metadata is None else self.metadata.rows

    @classmethod
    def of_draft(cls, parent: "Snapshot | None", metadata: CommitMetadata, at: datetime.datetime) -> Self:
        """Make a snapshot of a draft (see `stedi.pipeline.draft`). Its IDs count down from -1."""
        number = parent.id - 1 if parent and parent.id < 0 else -1
        return cls(number, parent.id if parent else None, at, "draft", metadata, metadata.rows)
