"""Spans of records in files of lines are those that the scanner finds, whatever the lines contain."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.ingest import record_spans as record_spans_module
from stedi.ingest.record_spans import Content, NotLinesError, RecordSpan, line_blocks, record_spans
from stedi.ingest.scanner import scan_records

A, B, C = b'{"a":1}', b'{"b":"}{","c":[{"d":2}]}', b'{"c":x"}'
Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes) -> Path:
        (tmp_path / "a.json").write_bytes(content)
        return tmp_path / "a.json"

    return write


def are_lines(path: Path) -> bool:
    try:
        return bool([block.content for block in line_blocks(path, path.name)])
    except NotLinesError:
        return False


LINES = {
    "lines": (A + b"\n" + B + b"\n", [(0, 7), (8, 32)]),
    "no last line break": (A + b"\n" + A, [(0, 7), (8, 15)]),
    "lines that are not JSON": (C + b"\n" + C, [(0, 8), (9, 17)]),
    "CRLF": (A + b"\r\n" + A + b"\r\n", [(0, 7), (9, 16)]),
    "blank lines": (b"\n \t\n" + A + b"\r\n\n" + A + b" \n\n", [(4, 11), (14, 21)]),
    "a byte-order mark": (b"\xef\xbb\xbf" + A + b"\n", [(3, 10)]),
    "not UTF-8": (A + b'\n{"\xff":1}\n{"\xc3":"\xc3\xa9"}\n', [(0, 7), (8, 15), (16, 26)]),
}
NO_LINES = {
    "an array": b"[" + A + b",\n" + A + b"]",
    "two on a line": A + A + b"\n",
    "trailing commas": A + b",\n" + A + b",\n",
    "a record on two lines": b'{"a":\n1}\n',
    "an indented line, which may belong to the one before": C + b"\n " + A + b"\n",
    "a broken line with a list": b'{"a":[{"b"}\n' + A,
    "a broken line with an object": b'{"a":{"b"}\n' + A,
    "text": b"x\n" + A,
    "carriage returns": A + b"\r" + A + b"\r",
    "two byte-order marks": b"\xef\xbb\xbf" * 2 + A,
}


@pytest.mark.parametrize("name", LINES)
def test_lines_are_read_in_blocks(write: Write, name: str) -> None:
    content, spans = LINES[name]
    assert are_lines(write(content))
    assert list(record_spans(write(content))) == [RecordSpan(at, *span) for at, span in enumerate(spans, start=1)]


@pytest.mark.parametrize("name", NO_LINES)
def test_files_of_other_layouts_take_the_scanner(write: Write, name: str) -> None:
    path = write(NO_LINES[name])
    assert not are_lines(path)
    assert list(record_spans(path)) == [RecordSpan(at, *span) for at, span in enumerate(scanned(path), start=1)]


def scanned(path: Path) -> list[tuple[int, int]]:
    return [record.span for record in scan_records(path) if record.span]


TOKENS = ['"a"', '"a":', "1", "x", ",", ":", " ", '"', "\\", "é", "\x00", "\r", "\xa0"]
FLAT = st.lists(st.sampled_from(TOKENS), max_size=6).map(lambda tokens: "{" + "".join(tokens) + "}")
OTHERS = st.sampled_from(
    ['{"a":1}', '{"a":{"b":[1]}}', '{"b":"x}"}', "", " ", "\t", '{"a":[', "x", "[", "\ufeff", ' {"a":1}']
)


@given(
    lines=st.lists(FLAT | FLAT | OTHERS, max_size=6),
    line_break=st.sampled_from(["\n", "\r\n"]),
    last=st.sampled_from(["", "\n"]),
    chunk_bytes=st.sampled_from([1, 5, 30, 1 << 20]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_have_the_spans_that_the_scanner_finds(
    write: Write, lines: list[str], line_break: str, last: str, chunk_bytes: int
) -> None:
    path = write((line_break.join(lines) + last).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_spans_module, "CHUNK_BYTES", chunk_bytes)
        assert [(span.start, span.end) for span in record_spans(path)] == scanned(path)


def test_content_is_read_forwards_across_pieces(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_spans_module, "CHUNK_BYTES", 3)
    with write(b"0123456789").open("rb") as raw:
        content = Content(raw, "a.json")
        assert [content.read(end) for end in (0, 2, 2, 7, 9, None)] == [b"", b"01", b"", b"23456", b"78", b"9"]
