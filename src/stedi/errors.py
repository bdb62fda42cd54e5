"""Every error that the program raises on purpose.

StediError                  one line for the user, exit code 1
├── UsageError              the request itself is wrong, exit code 2
├── LandingError            a landing folder or file is missing or unreadable
├── WarehouseError          the warehouse can't be opened, read or written
│   ├── NoWarehouseError    no run has created a warehouse at this address
│   ├── WarehouseBusyError  another process holds the warehouse's lock
│   └── CommitConflictError another writer committed to a table at the same time
├── DeploymentError         the deployment on AWS can't be created, found, reached or deleted
├── OutputError             results can't be written to the given file or stream
├── QueryError              the user's SQL was refused or failed
├── TrainingError           the training data are too few, or the model is no better than chance
├── RuleError               a table violates an error-level rule and was not published
└── AlarmError              the run succeeded and raised an alarm, exit code 3
"""

import difflib
from collections.abc import Iterable

# Exit code after Ctrl-C or SIGTERM: shells and typer use the same.
INTERRUPTED = 130


class StediError(Exception):
    """An error for the user. Its text is one line: what failed, where, for how many rows, and what to do next."""

    exit_code = 1


class UsageError(StediError):
    """The request is invalid: unknown table, unknown setting, contradictory options."""

    exit_code = 2


class LandingError(StediError):
    """A landing folder or file is missing or unreadable."""


class WarehouseError(StediError):
    """The warehouse can't be opened, read or written."""


class NoWarehouseError(WarehouseError):
    """No run has created a warehouse at this address."""


class WarehouseBusyError(WarehouseError):
    """Another process holds the warehouse's lock."""


class CommitConflictError(WarehouseError):
    """Another writer committed to a table after this program read it."""


class DeploymentError(StediError):
    """The deployment on AWS can't be created, found, reached or deleted."""


class OutputError(StediError):
    """Results can't be written to the given file or stream."""


class QueryError(StediError):
    """The SQL failed, or was refused because it would write or read outside the tables."""


class TrainingError(StediError):
    """The training data are too few, or the step detector is no better than chance. No model is published."""


class RuleError(StediError):
    """A table violates an error-level rule. It keeps its last good snapshot."""


class ErasureError(StediError):
    """Identifiers of erased people are still in files."""


class AlarmError(StediError):
    """The run succeeded and raised an alarm, which a person has to look at."""

    exit_code = 3


# What to do about a damaged file, for the end of an error message.
REPAIR_ADVICE = (
    "restore the file from a backup, or build a new warehouse from the landing files with --warehouse; "
    "if only a data file of a derived table is damaged, run `stedi run --full-refresh`"
)


def unknown_name(noun: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown name. It suggests the two most similar names, or else lists all.

    Args:
        noun: what the name should denote, in the singular, such as "table".
        name: the unknown name.
        known: the names that exist.
    """
    names = list(known)
    similar = difflib.get_close_matches(name, names, n=2)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"the {noun}s are {', '.join(names)}"
    return UsageError(f"unknown {noun} {name!r}; {hint}")
