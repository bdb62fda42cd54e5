"""The fast path and the slow path of the landing reader give the same rows.

The same records are written as lines (fast path, in DuckDB) and as one array (slow path, in Python). Values are generated
as JSON text, so that unusual spellings are included.
"""

import json
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stedi.compute.duckdb import DuckDBBackend
from stedi.model.feed import CLOCK_GRACE_MS, FIRST_TIME_MS, Feed, Field
from stedi.tables.landing.feeds import FEEDS
from tests.support.lake import T0
from tests.support.landing import LandingFolder

Pair = tuple[str, str]


def in_quotes(text: str) -> str:
    return f'"{text}"'


BARE = """
0 -0 -0.0 5 -5 1.5 1e3 1E+3 1e-3 0.1 1500000000000.0 1.5e12 253402300799999 253402300800000 9007199254740993 1e16 1e22 1e-7
18446744073709551616 123456789012345678901234567890 1e400 -1e400 1e-400 4.9e-324 1.7976931348623157e308
""".split()  # noqa: SIM905
# Files of one lot arrive years apart.
ARRIVALS = (T0, T0 + 500 * CLOCK_GRACE_MS)
# The edges of what is a time, in every unit that is taken for a mistake, for either arrival.
TIMES = [
    str(edge * 1000**thousands + beyond) if thousands >= 0 else str(edge // 1000 + beyond)
    for edge in (FIRST_TIME_MS, *(arrived + CLOCK_GRACE_MS for arrived in ARRIVALS))
    for thousands in (-1, 0, 1, 2)
    for beyond in (-1, 0, 1)
]
# No JSON, though the engine's reader takes some of them.
NOT_VALUES = r"""NaN Infinity -Infinity nan inf 01 +5 1. .5 0x1F 1_0 True "\t" "\ud800" """.split()  # noqa: SIM905
SPELLINGS = [
    *r"""
1_0 +5 1. .5 5e3 0x1F NaN inf -inf +-5 -+5 --5 1_000.5 1e5_0 00012 5f 0b1 1e 1,5 _5 5_ 5__0 - . +.5 1e+5 1e+-5 true null
1\u005f0 \u0035 \u002b-5 \u002b\u002d5 1\/2 \t7\n \u00a05 5\u00a0 \u000b5 \u001c5 \u20035 5\u0000 ١ ５ 1500000000000
""".split(),  # noqa: SIM905
    *(" 5 ", "1 2", "- 5", "+ 5"),
]
TEXTS = [
    *r"""
a@x A@X N n I i Nan nan inf 5 -5 5. +4912345 1e5 true false null { } [ {} [1] a,} : x:y a_b a+b \u0000 a\u0000b 😀
\ud83d\ude00
e\u0301 a\nb a\r\nb a\"b a\\b \"user\":\"b \u00a0 \u2003x \u3000 \u200b \ufeffx \u007f \u0085 \u1680x a\u2028b ᚠ 日本 zz ~
""".split(),  # noqa: SIM905
    *("", " ", "   ", " a@x ", " 5", " {a", 'a\\" : \\"b', "a" * 20_000),
]
SHAPES = ["null", "true", "false", "[]", "{}", "[1,2]", '{"a":1}', '[{"a":[true,1e400]}]', '{"user":"q"}']
NUMBER_LIKE = st.from_regex(r"[ \t]?[+-]{0,2}[0-9_]{0,3}\.?[0-9_]{0,3}(e[+-]?[0-9_]{0,2})?[ \t]?", fullmatch=True)
VALUES = st.one_of(
    st.sampled_from(BARE),
    st.sampled_from(TIMES),
    st.integers(min(map(int, TIMES)), max(map(int, TIMES))).map(str),
    st.sampled_from([*map(in_quotes, (*SPELLINGS, *TEXTS)), *SHAPES]),
    st.sampled_from(NOT_VALUES),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    NUMBER_LIKE.map(json.dumps),
    st.builds(json.dumps, st.text(max_size=8), ensure_ascii=st.booleans()),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=4).map(json.dumps),
)
KEYS = st.one_of(
    st.sampled_from([field.name for feed in FEEDS for field in feed.fields]).flatmap(
        lambda name: st.sampled_from([name, name.lower(), name.upper(), f" {name} ", f"\\u{ord(name[0]):04x}{name[1:]}"])
    ),
    st.sampled_from(["timestamp", "app", "", "a:b", "_", "$", "a.b", '\\"', "\\u0000"]),
    st.text(max_size=4).map(lambda text: json.dumps(text)[1:-1]),
)
STYLES = st.sampled_from(
    [('"%s":%s', ",", ""), ('"%s": %s', ", ", ""), ('"%s" : %s', " , ", " "), ('"%s":\t%s', "\t,", "\t")]
)


def good(field: Field) -> Pair:
    return field.name, {"text": '"a@x"', "milliseconds": str(T0), "number": "7"}[field.kind]


def odd_records(feed: Feed, value: str, key: str) -> list[list[Pair]]:
    """Records that are good but for one thing: the value in each field, the key added, a field missing."""
    plain = [good(field) for field in feed.fields]
    replaced = [[(name, value if name == field.name else usual) for name, usual in plain] for field in feed.fields]
    dropped = [[pair for pair in plain if pair[0] != field.name] for field in feed.fields]
    return [plain, *replaced, [*plain, (key, value)], [(key, value), *reversed(plain)], *dropped, plain]


def texts(records: Iterable[Sequence[Pair]], style: tuple[str, str, str], comma: str) -> list[str]:
    pair, between, inside = style
    return ["{" + inside + between.join(pair % p for p in record) + comma + inside + "}" for record in records]


def found(landing: LandingFolder, feed: Feed, layout: str) -> dict[tuple[str, int], str]:
    """What became of each record, by the name of its file and its number."""
    names = ", ".join(f'"{field.name}"' for field in feed.fields)
    place = f"parse_filename(source_file), source_position FROM {{}} WHERE contains(source_file, '/{layout}/')"
    landed = landing.rows(f"SELECT {names}, extra_fields, {place.format(feed.table.name)}")
    rejected = landing.rows(f"SELECT reason, raw_record, {place.format('quarantine')} AND feed = '{feed.name}'")
    # Minus zero equals zero, and is written differently.
    return {row[-2:]: repr(row[:-2]) for row in (*landed, *rejected)}


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(st.tuples(VALUES, KEYS), min_size=30, max_size=50),
    style=STYLES,
    comma=st.sampled_from(["", "", ",", ", "]),
)
@example(values=[(value, "timestamp") for value in BARE], style=('"%s":%s', ",", ""), comma="")
@example(values=[(value, "sensorreadingtime") for value in TIMES], style=('"%s": %s', ", ", ""), comma="")
@example(values=[(in_quotes(value), "USER") for value in SPELLINGS], style=('"%s": %s', ", ", ""), comma="")
@example(values=[(in_quotes(value), "app") for value in TEXTS], style=('"%s":%s', ",", ""), comma="")
@example(values=[(value, "x") for value in NOT_VALUES + SHAPES], style=('"%s" : %s', " , ", " "), comma="")
@example(values=[('"5"', "app"), ("5", "app")], style=('"%s":%s', ",", ""), comma=",")
@example(values=[('"5"', "app"), ("5", "app")], style=('"%s" : %s', " , ", " "), comma=", ")
def test_a_record_becomes_the_same_row_in_a_line_of_its_own_and_in_an_array(
    tmp_path_factory: pytest.TempPathFactory, values: list[Pair], style: tuple[str, str, str], comma: str
) -> None:
    folder = tmp_path_factory.mktemp("landing")
    with DuckDBBackend(scratch=folder, threads=1) as engine:
        assert_alike(LandingFolder(folder, engine), values, style, comma)


def assert_alike(landing: LandingFolder, values: list[Pair], style: tuple[str, str, str], comma: str) -> None:
    for feed in FEEDS:
        for number, (value, key) in enumerate(values):
            records = texts(odd_records(feed, value, key), style, comma)
            arrival = {"arrived_ms": ARRIVALS[number % len(ARRIVALS)]}
            landing.land(f"{feed.folders[0]}/lines/{number}.json", "\n".join(records).encode() + b"\n", **arrival)
            landing.land(f"{feed.folders[0]}/array/{number}.json", b"[" + ",\n".join(records).encode() + b"]\n", **arrival)
    landing.run()
    for feed in FEEDS:
        lines, array = found(landing, feed, "lines"), found(landing, feed, "array")
        assert len(lines) == len(values) * (2 * len(feed.fields) + 4)
        assert lines == array
