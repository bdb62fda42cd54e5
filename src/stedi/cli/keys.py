"""Commands about secret keys."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.confirmation import is_confirmed
from stedi.cli.program import Call, command, group
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, section
from stedi.cli.sections import show as print_result
from stedi.cli.text import counted
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.privacy.rotation.plan import KeyRotation

keys = group("keys", "Show secret keys by their ID, and rotate the pseudonym key.", "Privacy")


@command(keys)
def show(call: Call) -> None:
    """Show which keys there are, their IDs, and where they come from. Never shows a key.

    Example: stedi keys show
    """
    from stedi.privacy.rotation.key_ids import describe_keys

    described = [asdict(key) for key in describe_keys(call.settings())]
    columns = {"key": "key", "source": "from", "id": "ID"}
    print_result(Result([section("", described, columns)], described), as_json=call.as_json)


@command(keys)
def rotate(
    call: Call,
    new_key_file: Annotated[
        str | None,
        typer.Option(
            "--new-key-file",
            metavar="FILE",
            help="file with the new secret, if STEDI_PSEUDONYM_KEY is set; - reads standard input",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="rotate without asking for confirmation")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="only show what would change")] = False,
) -> None:
    """Give everybody new pseudonyms, in all tables, models and logs, and destroy the old key.

    Shows first what would change, and asks. Earlier runs can't be read afterwards. A rotation that was interrupted goes on
    when it is called again.

    Example: stedi keys rotate --plan
    """
    from stedi.privacy.rotation import rotate as rotation

    settings = call.settings()
    if plan or not (yes and call.as_json):
        with progress("searching"):
            planned = rotation.plan(settings)
        print_result(Result(list(_sections(planned)), asdict(planned), last=_summary(planned)), as_json=call.as_json)
    if plan:
        return
    secret = None if new_key_file is None else _secret(new_key_file)
    if not yes and not is_confirmed("Rotate the key? It can't be undone"):
        raise UsageError("nothing was changed; confirm, or give --yes")
    with progress("rotating") as display:
        done = rotation.rotate(settings, secret, progress=display)
    doubts = section("not searched", [asdict(doubt) for doubt in done.doubts], {"file": "file", "reason": "why"})
    print_result(Result([doubts], asdict(done), last=_result(done)), as_json=call.as_json)
    done.raise_if_found()


def _secret(file: str) -> str:
    """Read a secret from a file, or from standard input. A line break at its end is no part of it."""
    where = "standard input" if file == "-" else f"file {file}"
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode().strip()
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not valid UTF-8; write the secret as text") from None
    except OSError as error:
        raise UsageError(f"{where} can't be read: {error.strerror or error}; name a file with the new secret") from None


def _sections(rotation: "KeyRotation") -> Iterator[Section]:
    yield section(
        "tables",
        [asdict(table) for table in rotation.tables],
        {"table": "table", "zone": "zone", "rows": "rows with new pseudonyms", "snapshots": "snapshots that expire"},
    )
    yield section(
        "models",
        [asdict(model) | {"stale": model.stale} for model in rotation.models],
        {"name": "model", "people": "people", "stale": "stale afterwards, because"},
        empty="There is no model.\n",
    )


def _summary(rotation: "KeyRotation") -> str:
    if rotation.is_unfinished:
        return "An interrupted rotation is completed."
    return (
        f"{counted(rotation.runs, 'earlier run')} can't be read with --as-of afterwards. "
        f"Questions in the privacy log with new pseudonyms: {rotation.log_entries:,}."
    )


def _result(rotation: "KeyRotation") -> str:
    certificate = f"The certificate is {rotation.certificate} in the privacy folder."
    if rotation.is_configured:
        return f"Set STEDI_PSEUDONYM_KEY to the new secret from now on, and destroy the old one. {certificate}"
    return f"The old key was destroyed. Backups of the warehouse may still have it. {certificate}"
