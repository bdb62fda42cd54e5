"""Every reason for quarantine that the landing reader gives is declared and explained."""

import ast
from collections.abc import Iterator
from pathlib import Path

from stedi.ingest.reasons import REASONS, explain
from stedi.tables.landing.feeds import FEEDS

READER = sorted((Path(__file__).parents[2] / "src/stedi/ingest").glob("*.py"))
# Functions whose results become reasons, or the end of one behind a field's name.
GIVERS = ("reason", "_why_unreadable", "_why_it_ends", "_why_no_time")


def texts(node: ast.AST) -> Iterator[str]:
    """Texts in an expression, with `*` for what is worked out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)


def given(module: ast.Module) -> Iterator[str]:
    """Reasons that the text of a module contains."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InvalidRecordError":
            yield from texts(node.args[0])
        elif isinstance(node, ast.keyword) and node.arg == "reason":
            yield from texts(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name in GIVERS:
            prefix = "*_" if node.name == "_why_no_time" else ""
            for result in (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value):
                yield from (prefix + text for text in texts(result))


def possible(reason: str) -> Iterator[str]:
    """A reason with everything that may stand for what is worked out."""
    if reason == "broken_*":
        yield from ("broken_gzip", "broken_bzip2", "broken_zstd")
    elif reason.endswith("_perhaps_in_*"):
        yield from (f"x_perhaps_in_{unit}" for unit in ("seconds", "microseconds", "nanoseconds"))
    elif reason != "*_*":
        yield reason.replace("*", "x")


def test_every_reason_that_the_reader_can_give_is_declared() -> None:
    found = {each for path in READER for reason in given(ast.parse(path.read_text("utf-8"))) for each in possible(reason)}
    assert found >= {"not_json", "nested_too_deep", "not_utf8", "unfinished_record", "not_an_object", "broken_zstd"}
    assert found >= {"x_missing", "x_given_twice", "x_not_text", "x_after_arrival", "x_perhaps_in_seconds"}
    assert {reason for reason in found if not explain(reason)} == set()


def test_reasons_of_every_field_are_explained() -> None:
    for name in (field.name for feed in FEEDS for field in feed.fields):
        assert explain(f"{name}_missing") == (
            "a field that every record must have is absent, null or empty: send the record with the field"
        )
        assert "multiply by 1,000 and send the file again" in explain(f"{name}_perhaps_in_seconds")


def test_a_reason_of_another_version_has_no_explanation() -> None:
    assert explain("made_of_cheese") == explain("") == explain("_missing") == ""


def test_each_reason_is_declared_once() -> None:
    assert len({each.name for each in REASONS}) == len(REASONS)
    for each in REASONS:
        name = each.name.replace("<field>", "x")
        assert [other.name for other in REASONS if other.covers(name)] == [each.name]
