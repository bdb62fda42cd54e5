"""Every error that the program raises on purpose.

StediError                 one line for the user, exit code 1
├── UsageError             the request itself is wrong, exit code 2
├── LandingError           a landing folder or file can't be used
├── WarehouseError         the warehouse can't be opened, read or written
│   ├── NoWarehouseError   no run has made one there yet
│   ├── WarehouseBusyError another run holds the warehouse
│   └── CatalogMovedError  another writer committed to a table meanwhile
├── DeploymentError        the deployment on AWS can't be made, found or asked
├── OutputError            results can't be written where they were asked for
├── QueryError             the user's SQL was refused or failed
├── TrainingError          there is nothing to learn, or too few people to learn it from
├── RuleError              error-level rules failed, so tables were not published
└── AlarmError             the run succeeded with an alarm, exit code 3
"""

import difflib
from collections.abc import Iterable

# The exit code of a program that was asked to stop, as shells give it for Ctrl-C and typer too.
INTERRUPTED = 130


class StediError(Exception):
    """What failed, where, for how many rows, and what to do next, in one line."""

    exit_code = 1


class UsageError(StediError):
    """The request can't be understood: unknown table, unknown setting, impossible option."""

    exit_code = 2


class LandingError(StediError):
    """A landing folder is missing or unreadable."""


class WarehouseError(StediError):
    """The warehouse can't be opened, read or written."""


class NoWarehouseError(WarehouseError):
    """No run has made a warehouse there yet."""


class WarehouseBusyError(WarehouseError):
    """Another run is working on this warehouse."""


class CatalogMovedError(WarehouseError):
    """Another writer committed to a table between our look and our commit."""


class DeploymentError(StediError):
    """The deployment on AWS can't be made, found, asked or removed."""


class OutputError(StediError):
    """Results can't be written where they were asked for."""


class QueryError(StediError):
    """The SQL was refused (it would write or read outside the tables) or failed."""


class TrainingError(StediError):
    """There is nothing to learn a step detector from, or nothing that is better than chance; none is published."""


class RuleError(StediError):
    """An error-level rule failed; the table keeps its last good snapshot."""


class AlarmError(StediError):
    """The run succeeded, and a person has to look at an alarm."""

    exit_code = 3


DAMAGED = (
    "put the file back from a copy, or build another warehouse from the landing files with --warehouse; "
    "where only a data file behind the landing tables is lost, `stedi run --full-refresh` makes it anew"
)


def no_such(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that nothing has, with the nearest names that something has, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the {kind}s are {', '.join(names)}"
    return UsageError(f"no {kind} is called {name!r}; {hint}")
