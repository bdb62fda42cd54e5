"""The scanner finds the same records whatever their length, the text around them and the chunks of the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.ingest import file_text, record_end, records, scanner
from stedi.ingest.scanner import scan_records

Kept = tuple[str, str | None]
Reader = Callable[..., list[Kept]]

OLD = '{"email": "ann", "old": 1}'
GOOD = '{"email": "ben", "lastUpdateDate": 7}'
NEXT = '{"email": "cat", "lastUpdateDate": 8}'
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def read(text: str, chunk_bytes: int = 1 << 16, longest: int = 1 << 24) -> list[Kept]:
        content = text.encode()
        (tmp_path / "a.json").write_bytes(content)
        records = list(scan_records(tmp_path / "a.json", chunk_bytes=chunk_bytes, max_chars=longest))
        for record in records:
            assert record.span
            whole = content[slice(*record.span)].decode()
            head, _, tail = record.text.partition("[… ") if record.reason == "record_too_long" else (record.text, "", "")
            assert whole.startswith(head)
            assert whole.endswith(tail.partition("left out …]")[2].rstrip().rstrip(",")) if tail else whole == head
        return [(record.text, record.reason) for record in records]

    return read


# Texts and the records in them: (text, None) is readable, (text, reason) is not.
CASES: dict[str, tuple[str, list[Kept]]] = {
    "an error in a record with a list": (
        f'{{"x": NaN, "old": [{OLD}, {OLD}]}}\n{GOOD}',
        [(f'{{"x": NaN, "old": [{OLD}, {OLD}]}}', "not_json"), (GOOD, None)],
    ),
    "an error in an envelope over many lines": (
        f'{{"x": 01, "data": [\n{OLD},\n{OLD}\n]}}\n{GOOD}\n',
        [(f'{{"x": 01, "data": [\n{OLD},\n{OLD}\n]}}', "not_json"), (GOOD, None)],
    ),
    "commas too many": ('{"a": [1,,],}' + GOOD, [('{"a": [1,,],}', "not_json"), (GOOD, None)]),
    "a value that is missing, back to back": ('{"a": }' + GOOD, [('{"a": }', "not_json"), (GOOD, None)]),
    "brackets in a string": ('{"a": "]}{\\"", "b": x}' + GOOD, [('{"a": "]}{\\"", "b": x}', "not_json"), (GOOD, None)]),
    "too deep and closed": (
        f'{{"a": {"[" * 101}{OLD}{"]" * 101}, "b": x}}\n{GOOD}',
        [(f'{{"a": {"[" * 101}{OLD}{"]" * 101}, "b": x}}', "nested_too_deep"), (GOOD, None)],
    ),
    "far too deep": (
        f'{{"a": {"[" * 1500}{OLD}{"]" * 1500}, "b": x}}\n{GOOD}',
        [(f'{{"a": {"[" * 1500}{OLD}{"]" * 1500}, "b": x}}', "nested_too_deep"), (GOOD, None)],
    ),
    "a line cut in a list": (
        f'{{"a": [{OLD}, \n{GOOD}\n{NEXT}\n',
        [(f'{{"a": [{OLD}', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "a line cut within a string": (f'{{"a": [{OLD}, {{"b\n{GOOD}\n', [(f'{{"a": [{OLD}, {{"b', "not_json"), (GOOD, None)]),
    "a line cut behind a backslash": (f'{{"a": "\\\n{GOOD}\n', [('{"a": "\\', "not_json"), (GOOD, None)]),
    "a line cut behind a bracket": (f"{{\n{GOOD}\n", [("{", "not_json"), (GOOD, None)]),
    "a line cut behind a colon": (f'{{"a":\n{GOOD}\n{NEXT}\n', [('{"a":', "not_json"), (GOOD, None), (NEXT, None)]),
    "the last line but one cut behind a colon": (f'{{"a":\n{GOOD}\n', [('{"a":', "not_json"), (GOOD, None)]),
    "an object behind a colon at the start of a line": (
        f'{{"a":\n{OLD}}}\n{GOOD}',
        [(f'{{"a":\n{OLD}}}', None), (GOOD, None)],
    ),
    "a line cut and the next one cut": (
        f'{{"a": [{{"b":\n{{"a": [{{"b":\n{GOOD}\n{NEXT}',
        [('{"a": [{"b":', "not_json"), ('{"a": [{"b":', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "lines with commas, one cut": (
        f'{GOOD},\n{{"a": "x,\n{NEXT},\n',
        [(GOOD, None), ('{"a": "x', "not_json"), (NEXT, None)],
    ),
    "a cut line joined to the next": (
        f'{{"a": {{"b": 1, {GOOD}\n{NEXT}',
        [('{"a": {"b": 1', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "an array with its first record on the bracket's line": (
        f'[{{"a": [{OLD}, \n {GOOD}, \n {NEXT}]',
        [(f'{{"a": [{OLD}, \n {GOOD}, \n {NEXT}]', "unfinished_record")],
    ),
    "an array whose first record is cut in a string": (
        f'[{{"a": "x, \n {GOOD}, \n {NEXT}]',
        [('{"a": "x', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "a record that breaks off": (
        f'{GOOD}\n{{"email": "a", "old": [\n{OLD},\n{OLD}\n',
        [(GOOD, None), (f'{{"email": "a", "old": [\n{OLD},\n{OLD}', "unfinished_record")],
    ),
    "a record that breaks off behind a comma": (
        f'{{"email": "a", "old": [\n{OLD},\n{OLD},\n',
        [(f'{{"email": "a", "old": [\n{OLD},\n{OLD}', "unfinished_record")],
    ),
    "a record that breaks off behind an object that begins a line after a colon": (
        f'{{"old": [{{"k":\n{OLD}}},\n',
        [(f'{{"old": [{{"k":\n{OLD}}}', "unfinished_record")],
    ),
    "lines cut in lists, the last ones": (
        f'{{"a": [{OLD},\n{{"a": [{OLD},\n{{"a": [{OLD},\n',
        [(f'{{"a": [{OLD}', "not_json"), (f'{{"a": [{OLD}', "not_json"), (f'{{"a": [{OLD},', "not_json")],
    ),
    "an error in a record spread over lines without indentation": (
        f'{{\n"name": "O"Brien",\n"old": [\n{OLD},\n{OLD}\n]\n}}\n{GOOD}\n',
        [(f'{{\n"name": "O"Brien",\n"old": [\n{OLD},\n{OLD}\n]\n}}', "not_json"), (GOOD, None)],
    ),
    "a record without indentation that is cut, and others": (
        f'{{\n"old": [\n{OLD},\n{{\n"ema\n{GOOD}\n{NEXT}\n',
        [(f'{{\n"old": [\n{OLD},\n{{\n"ema', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "a record with indentation that is cut in a list, and others": (
        f'{{\n  "old": [\n    {OLD},\n{GOOD}\n{NEXT}\n',
        [(f'{{\n  "old": [\n    {OLD}', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "two bad lines": (
        f'{{"a": ["x\nfoo\n{GOOD}\n{NEXT}',
        [('{"a": ["x\nfoo', "not_json"), (GOOD, None), (NEXT, None)],
    ),
    "text behind a record": (f"{GOOD} }} foo {NEXT}", [(GOOD, None), ("} foo", "not_an_object"), (NEXT, None)]),
}


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1 << 16])
@pytest.mark.parametrize("name", CASES)
def test_records_are_found_and_what_is_in_them_is_none(read: Reader, name: str, chunk_bytes: int) -> None:
    text, expected = CASES[name]
    assert read(text, chunk_bytes) == expected


LONG = f'{{"email": "ann", "old": [{", ".join([OLD] * 50)}]}}'
TORN = f'{{"email": "ann", "old": [\n{f",{chr(10)}".join([OLD] * 50)}'


@pytest.mark.parametrize("chunk_bytes", [1, 64, 1 << 16])
def test_a_record_may_be_as_long_as_the_limit(read: Reader, chunk_bytes: int) -> None:
    for text, reason in ((LONG, None), (LONG.replace("1", "x", 1), "not_json"), (TORN, "unfinished_record")):
        assert read(f"{GOOD}\n{text}", chunk_bytes, len(text)) == [(GOOD, None), (text, reason)]


TOO_LONG = {
    "readable": LONG,
    "closed": LONG.replace("1", "x", 1),
    "closed far behind": f'{{"a": x, "old": [\n{f",{chr(10)}".join([OLD] * 900)}\n]}}',
    "torn in a string": LONG[:-5].replace("]", "", 1) + '"x',
    "an endless string": '{"a": "' + '\\"{' * 900,
    "an endless word": '{"a": ' + "x" * 900,
    "text that is no object": "x" * 900,
    "text behind a contradiction": '{"a" "b"' + "x, " * 300 + "x",
    "deep": '{"a": ' + "[" * 1500,
}


@pytest.mark.parametrize("chunk_bytes", [1, 64, 1 << 16])
@pytest.mark.parametrize("name", TOO_LONG)
def test_a_longer_record_is_one_row_and_the_next_one_is_found(read: Reader, name: str, chunk_bytes: int) -> None:
    text, longest = TOO_LONG[name], 500
    [first, (raw, reason), *rest] = read(f"{GOOD}\n{text}\n{NEXT}\n{GOOD}\n", chunk_bytes, longest)
    # One that does not close goes up to the next one.
    text = text if raw.endswith(text[-1]) else f"{text}\n"
    note = f"[… {len(text) - 500:,} of {len(text):,} characters left out …]"
    assert (raw, reason) == (text[:250] + note + text[-250:], "record_too_long")
    assert [first, *rest] == [(GOOD, None), (NEXT, None), (GOOD, None)]


def test_a_file_that_breaks_off_in_a_record_that_is_too_long_ends_in_one_row(read: Reader) -> None:
    assert [reason for _, reason in read(f"{GOOD}\n{TORN}", 64, 500)] == [None, "record_too_long"]


def test_of_a_record_that_is_too_long_only_the_ends_are_held(monkeypatch: pytest.MonkeyPatch, read: Reader) -> None:
    held: list[int] = []
    scan = record_end.BracketScan.scan

    def counted(self: record_end.BracketScan, text: str, is_all: bool) -> bool:
        held.append(len(text))
        return scan(self, text, is_all)

    monkeypatch.setattr(record_end.BracketScan, "scan", counted)
    read(f'{{"a": x, "old": [{", ".join([OLD] * 2000)}]}}', 64, 500)
    assert len(held) > 100
    assert max(held) < 2000


# Any text

TOKENS = [*'{}[]",:\n \\', "{", '"a"', '"a":', "1", "x", "},", "\n{", "[{", ",\n", '{"a":1}', '{"a":[', '"a', "\r\n", " {"]
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=40).map("".join)


@given(text=TEXTS, chunk_bytes=st.integers(1, 9), longest=st.just(1 << 24) | st.integers(2, 40))
@settings(SLOW, max_examples=400)
def test_chunks_decide_nothing(read: Reader, text: str, chunk_bytes: int, longest: int) -> None:
    assert read(text, chunk_bytes, longest) == read(text, longest=longest)


@given(text=TEXTS, chunk_bytes=st.integers(1, 9), longest=st.integers(2, 60))
@settings(SLOW, max_examples=200)
def test_no_text_is_lost_or_read_twice(read: Reader, text: str, chunk_bytes: int, longest: int) -> None:
    """Between the records there are only separators."""
    at = 0
    for raw, reason in read(text, chunk_bytes, longest):
        head, _, tail = raw.partition("[… ") if reason == "record_too_long" else (raw, "", "")
        start = text.index(head, at)
        assert not text[at:start].strip(" \r\n,[]")
        at = start + len(head)
        if tail:
            size = int(tail.split(" of ")[1].split()[0])
            at = start + size
    assert not text[at:].strip(" \r\n,[]")


# Files of JSON objects

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", '"', "{", "},{", "[", "\n{", "\\", "é"])
KEYS = st.sampled_from(["email", "old", "a", "{", ":", '"'])
INNER = st.dictionaries(KEYS, SCALARS, max_size=3)
VALUES = st.recursive(
    SCALARS | INNER, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=8
)
OBJECTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=5)
CHUNKS = st.sampled_from([1, 3, 10, 50, 1 << 16])
SEPARATORS = st.sampled_from(["\n", "", ",\n", "\r\n", " , ", "\n\n"])
INDENTS = st.sampled_from([None, 0, 1, 2])


def dump(value: Any, indent: int | None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)


LAYOUTS = st.one_of(
    st.builds(lambda s, i: lambda objects: "".join(dump(each, i) + s for each in objects), SEPARATORS, INDENTS),
    st.builds(lambda i: lambda objects: dump(objects, i), INDENTS),
    st.builds(
        lambda s: lambda objects: "[" + s.join(dump(each, None) for each in objects) + "]", st.sampled_from([",\n", ", \n "])
    ),
)
Layout = Callable[[list[Any]], str]


@given(objects=OBJECTS, layout=LAYOUTS, breaks=st.booleans(), chunk_bytes=CHUNKS)
@settings(SLOW, max_examples=200)
def test_the_objects_of_any_layout_are_the_records(
    read: Reader, objects: list[Any], layout: Layout, breaks: bool, chunk_bytes: int
) -> None:
    text = layout(objects)
    text = text.replace('": ', '":\n') if breaks else text
    found = read(text, chunk_bytes)
    assert [json.loads(raw) for raw, _ in found] == objects
    assert not [reason for _, reason in found if reason]


def ends(text: str, kept: list[Kept]) -> list[int]:
    at, found = 0, []
    for raw, _ in kept:
        at = text.index(raw, at) + len(raw)
        found.append(at)
    return found


@given(objects=OBJECTS, layout=LAYOUTS, cut=st.floats(0, 1), chunk_bytes=CHUNKS)
@settings(SLOW, max_examples=200)
def test_a_file_that_is_cut_has_the_records_before_the_cut(
    read: Reader, objects: list[Any], layout: Layout, cut: float, chunk_bytes: int
) -> None:
    """However the record is laid out that is cut: nothing within it is one."""
    text = layout(objects)
    whole = read(text)
    at = int(len(text) * cut)
    found = read(text[:at], chunk_bytes)
    assert [record for record in found if not record[1]] == [
        record for record, end in zip(whole, ends(text, whole), strict=True) if end <= at
    ]


@given(objects=OBJECTS.filter(len), number=st.integers(0, 4), indent=INDENTS, cut=st.floats(0, 1), chunk_bytes=CHUNKS)
@settings(SLOW, max_examples=200)
def test_what_lies_within_a_cut_record_is_none_whatever_follows(
    read: Reader, objects: list[Any], number: int, indent: int | None, cut: float, chunk_bytes: int
) -> None:
    texts = [dump(each, indent) for each in objects]
    number %= len(texts)
    broken = texts[number][: int(len(texts[number]) * cut)]
    found = read("\n".join([*texts[:number], broken, *texts[number + 1 :]]), chunk_bytes)
    readable = iter(raw for raw, reason in found if not reason)
    assert all(raw in texts for raw in readable)


BROKEN = st.one_of(
    st.text(st.sampled_from('{}[]",: \\a1'), min_size=1, max_size=12),
    st.builds(
        lambda value, cut: json.dumps(value)[: int(len(json.dumps(value)) * cut)],
        st.dictionaries(KEYS, VALUES),
        st.floats(0, 1),
    ),
)


@given(objects=OBJECTS, number=st.integers(0, 5), broken=BROKEN, chunk_bytes=CHUNKS)
@settings(SLOW, max_examples=400)
def test_a_broken_line_spares_all_others(
    read: Reader, objects: list[Any], number: int, broken: str, chunk_bytes: int
) -> None:
    """Save the last line behind one that is cut where an element of a list is due: it could be that element."""
    lines = [json.dumps(each) for each in objects]
    before, behind = lines[:number], lines[number:]
    found = [raw for raw, reason in read("\n".join([*before, broken, *behind]), chunk_bytes) if not reason]
    assert found[: len(before)] == before
    if len(behind) == 1 and broken.rstrip()[-1:] in ("[", ","):
        return
    assert found[len(found) - len(behind) :] == behind


# Work

BAD_LINES = {
    "cut in a list": '{"user":"a@b.c","timestamp":1,"tags":[{"k":1},{"k":\n',
    "cut behind a comma of a list": '{"user":"a@b.c","tags":[{"k":1},\n',
    "cut behind a colon": '{"user":"a@b.c","tags":\n',
    "cut within a string": '{"user":"a@b.c","tags":["x\n',
    "cut flat": '{"user":"a@b.c","timestamp":1,\n',
    "cut and joined": '{"user":"a@b.c","tags":[{"k":1},',
    "cut and joined in objects": '{"user":{"k":1},"a":',
    "text, and an object": 'foo {"a":[\n',
    "quotes": '{"a":"}{\n',
    "closing brackets": "{]}]\n",
    "spread over lines and cut": '{\n"a":[\n{"k":1},\n',
    "spread over lines with indentation and cut": '{\n  "a": [\n    {"k": 1},\n',
    "records, and text before an object in a string": '{},"x{":[1],\n{"a":["}{",\n',
    "records in a list, and text": '{"a":[\n{},"}{\n',
    "garbage": "\x00x\x01,}",
    "blank": " \n",
    "cut in lists before a contradiction": '{"a":[{"k":1},\n' * 300 + "x x\n",
    "deep": '{"a":[',
    "many lines within a record that contradicts itself": '{"a":[\n' + '{"k":1},\n' * 1000 + "x x\n",
}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, read: Reader) -> Callable[[str], int]:
    """How many characters are read, decoded and scanned for a text."""
    done = 0

    def decode(text: str, at: int) -> tuple[Any, int]:
        nonlocal done
        try:
            pairs, end = records.decode(text, at)
        except json.JSONDecodeError as error:
            # The decoder counts the lines of the text before a failure.
            assert at < 1 << 15
            done += error.pos - at
            raise
        done += end - at
        return pairs, end

    def counts(scan: Any) -> Any:
        def counted(self: Any, text: str, is_all: bool) -> Any:
            nonlocal done
            before = self.at
            try:
                return scan(self, text, is_all)
            finally:
                done += abs(self.at - before)

        return counted

    def read_more(self: file_text.FileText, size: int = 0) -> str:
        nonlocal done
        text = read_(self, size)
        done += len(text)
        return text

    def total(text: str) -> int:
        nonlocal done
        done = 0
        read(text, 1 << 10)
        return done

    read_ = file_text.FileText.read
    monkeypatch.setattr(scanner, "decode", decode)
    monkeypatch.setattr(file_text.FileText, "read", read_more)
    for kind in (record_end.BracketScan, record_end.CutRecordSearch, record_end.NonObjectSearch):
        monkeypatch.setattr(kind, "scan", counts(kind.scan))
    return total


@pytest.mark.parametrize("first", ["", '{"a": [\n'])
def test_little_text_is_held(monkeypatch: pytest.MonkeyPatch, read: Reader, first: str) -> None:
    """Also behind a scan that went far."""
    held: list[int] = []

    def decode(text: str, at: int) -> tuple[Any, int]:
        held.append(len(text))
        return records.decode(text, at)

    monkeypatch.setattr(scanner, "decode", decode)
    found = read(first + f"{GOOD},\n" * 1000 + "x x\n", 64)
    assert [reason for _, reason in found][-1001:] == [*[None] * 1000, "not_an_object"]
    assert max(held) < (1 << 14) + 500


def test_text_is_doubled_for_a_long_record(monkeypatch: pytest.MonkeyPatch, read: Reader) -> None:
    sizes: list[int] = []

    def read_more(self: file_text.FileText, size: int = 0) -> str:
        sizes.append(size)
        return read_(self, size)

    read_ = file_text.FileText.read
    monkeypatch.setattr(file_text.FileText, "read", read_more)
    assert read(f'{{"a": [{", ".join([OLD] * 2000)}]}}', 64) == [(f'{{"a": [{", ".join([OLD] * 2000)}]}}', None)]
    assert len(sizes) < 20


@pytest.mark.parametrize("name", BAD_LINES)
def test_reading_is_linear_in_the_size_of_bad_files(work: Callable[[str], int], name: str) -> None:
    line = BAD_LINES[name]
    text = line * (60_000 // len(line))
    assert work(text) < 6 * len(text)
    text = '{"data": [' + text
    assert work(text) < 6 * len(text)


@given(unit=st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12).map("".join), first=TEXTS)
@settings(SLOW, max_examples=200)
def test_reading_is_linear_whatever_repeats(work: Callable[[str], int], unit: str, first: str) -> None:
    text = first + unit * (8_000 // len(unit))
    assert work(text) < 6 * len(text)


def test_addresses_in_what_is_left_out_of_a_record_that_is_too_long_are_named(read: Reader) -> None:
    text = '{"a": "' + "x" * 1_000 + '", "email": "Ann@x.org", "b": "' + "y" * 1_000 + '"}'
    for chunk in (7, 64, 4_096):
        [(raw, reason)] = read(text, chunk, 500)
        assert reason == "record_too_long"
        assert '"email": "ann@x.org"' in raw
        assert "Ann@x.org" not in raw
