"""E-mail addresses of people, from arguments, a file or standard input. Messages never repeat one."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from stedi.cli.program import as_utf8
from stedi.errors import UsageError
from stedi.model.identity import identity_of

# Standard input instead of an argument, so that the address is not in the shell's history.
_STANDARD_INPUT = "-"


def address_from(given: Sequence[str]) -> str:
    """Return the one address that a command was given.

    Args:
        given: the command's arguments. `-` reads the address from standard input. Several arguments are one text, because a
            display name may contain spaces.

    Returns:
        The normalised address (`identity.person_of`).

    Raises:
        UsageError: it is not exactly one address.
    """
    if list(given) == [_STANDARD_INPUT]:
        addresses = _addresses_in_lines(_read_lines(None), "standard input")
    else:
        address = identity_of("person", as_utf8("the e-mail address", " ".join(given)))
        addresses = [] if address is None else [address]
    if len(addresses) != 1:
        raise UsageError("give exactly one e-mail address; with a name, write it in quotes: 'NAME <ADDRESS>'")
    return addresses[0]


def addresses_from(given: Sequence[str], file: Path | None = None) -> list[str]:
    """Return the addresses that a command was given.

    Args:
        given: the command's arguments, one address each. `-` reads addresses from standard input, one per line.
        file: file with one address per line; `-` is standard input.

    Returns:
        The normalised addresses, each once, in the given order.

    Raises:
        UsageError: there is none, one is not an address, or the file can't be read.
    """
    addresses: list[str] = []
    for number, argument in enumerate(given, start=1):
        if argument == _STANDARD_INPUT:
            addresses += _addresses_in_lines(_read_lines(None), "standard input")
            continue
        address = identity_of("person", as_utf8("an e-mail address", argument))
        if address is None:
            raise UsageError(f"address {number} is not one e-mail address; write a name in quotes: 'NAME <ADDRESS>'")
        addresses.append(address)
    if file is not None:
        is_standard_input = str(file) == _STANDARD_INPUT
        lines = _read_lines(None if is_standard_input else file)
        addresses += _addresses_in_lines(lines, "standard input" if is_standard_input else f"file {file}")
    if not addresses:
        raise UsageError("give at least one e-mail address")
    return list(dict.fromkeys(addresses))


def _read_lines(file: Path | None) -> list[str]:
    """Read the lines of a file, or of standard input. A byte-order mark is dropped."""
    where = "standard input" if file is None else f"file {file}"
    try:
        content = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not valid UTF-8; write the addresses in UTF-8, one per line") from None
    except OSError as error:
        raise UsageError(f"{where} can't be read: {error.strerror or error}; name a file with one address a line") from None


def _addresses_in_lines(lines: Iterable[str], where: str) -> list[str]:
    addresses = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        address = identity_of("person", line)
        if address is None:
            raise UsageError(f"line {number} of {where} is not one e-mail address; correct the line")
        addresses.append(address)
    return addresses
