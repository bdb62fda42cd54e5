"""Addresses from arguments, files and standard input. No message repeats one."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stedi.cli.addresses import address_from, addresses_from
from stedi.errors import UsageError


def type_in(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_one_address_from_arguments_or_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address_from(["Ann", "Lee", "<Ann@X.example>"]) == "ann@x.example"
    type_in(monkeypatch, b"\xef\xbb\xbf\n Ann@X.example \r\n")
    assert address_from(["-"]) == "ann@x.example"


def test_many_addresses_each_once_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "people.txt"
    file.write_text("BEN@x\n\nann@x\ncid@x\n", encoding="utf-8")
    assert addresses_from(["ann@x"], file) == ["ann@x", "ben@x", "cid@x"]
    type_in(monkeypatch, b"dan@x\nann@x\n")
    assert addresses_from(["ann@x", "-"]) == ["ann@x", "dan@x"]
    type_in(monkeypatch, b"eve@x")
    assert addresses_from([], Path("-")) == ["eve@x"]


@pytest.mark.parametrize(
    ("given", "content", "message"),
    [
        (["secret@x", "a@x, b@x"], b"", "address 2 is not one e-mail address"),
        ([], b"secret@x\na@x b@x\n", "line 2 of file"),
        ([], b"secret@x\n\xff\n", "is not valid UTF-8"),
        ([], b"\n \n", "at least one e-mail address"),
    ],
)
def test_errors_name_the_place_and_no_address(tmp_path: Path, given: list[str], content: bytes, message: str) -> None:
    file = tmp_path / "people.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        addresses_from(given, file)
    assert "@" not in str(error.value)
    with pytest.raises(UsageError, match="can't be read"):
        addresses_from(["a@x"], tmp_path / "missing")


@pytest.mark.parametrize("content", [b"", b"ann@x\nben@x\n"])
def test_one_address_is_neither_none_nor_two(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    type_in(monkeypatch, content)
    with pytest.raises(UsageError, match="exactly one") as error:
        address_from(["-"])
    assert "ann" not in str(error.value)
