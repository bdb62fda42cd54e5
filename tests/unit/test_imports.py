"""The house is built in layers: each part uses only parts below it, and each library has one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/stedi"

# From the ground up; parts of one layer don't use each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "alarms", "own_files", "disk", "choices"),
    ("installation",),
    ("aws_client",),
    ("warehouse",),
    ("table", "config"),
    ("identity", "resampling"),
    ("quality", "landing", "operations"),
    ("reference",),
    ("trusted",),
    ("curated",),
    ("tables", "ddl"),
    ("history",),
    ("catalog",),
    ("engines",),
    ("maintain",),
    ("pipeline",),
    ("query", "verify", "simulate"),
    ("rule_results", "query_output", "devices", "ml"),
    ("report", "device_picture"),
    ("aws",),
    ("cli",),
    ("__main__",),
)
LIBRARIES = {
    "duckdb": ("engines/embedded", "simulate"),
    "pyiceberg": ("catalog",),
    "sqlalchemy": ("catalog",),
    "sqlite3": ("catalog",),
    "pyspark": ("engines/spark",),
    "py4j": ("engines/spark",),
    "sqlglot": ("engines/spark", "aws/questions.py"),
    "boto3": ("aws_client.py", "aws"),
    "botocore": ("aws_client.py", "aws"),
    "pydantic": ("config.py", "aws/deployment.py"),
    "pydantic_settings": ("config.py",),
    **dict.fromkeys(
        ("lightgbm", "matplotlib", "mlflow", "onnx", "onnxmltools", "onnxruntime", "scipy", "sklearn", "skops"), ("ml",)
    ),
    "aws_cdk": ("aws/cdk",),
    "constructs": ("aws/cdk",),
    "typer": ("cli",),
    "rich": ("cli", "report.py"),
}


def imports(module: Path) -> Iterator[tuple[str, str]]:
    """(library, module) of everything that a module imports, at the top or on the way."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            library, _, rest = str(node.module).partition(".")
            if library == "stedi" and not rest:
                yield from ((library, f"stedi.{name.name}") for name in node.names)
            else:
                yield library, str(node.module)


def part(module: Path) -> str:
    return module.relative_to(SOURCE).with_suffix("").parts[0]


MODULES = sorted(module for module in SOURCE.rglob("*.py") if part(module) != "__init__")
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


def test_every_part_has_its_layer() -> None:
    assert {part(module) for module in MODULES} == set(LEVEL)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(SOURCE).as_posix())
def test_a_part_uses_only_parts_below_it_and_libraries_that_are_its_own(module: Path) -> None:
    here = module.relative_to(SOURCE).as_posix()
    for library, name in imports(module):
        if library == "stedi" and name != "stedi.__version__":
            used = name.split(".")[1]
            assert used == part(module) or LEVEL[used] < LEVEL[part(module)], f"{here} imports {name}"
        assert any(here == place or here.startswith(f"{place}/") for place in LIBRARIES.get(library, (here,))), (
            f"{here} imports {library}, which is for {LIBRARIES[library]}"
        )


@pytest.mark.parametrize("zone", ["landing", "reference", "trusted", "curated", "operations"])
def test_tables_are_declared_without_any_library(zone: str) -> None:
    declaring = [m for m in MODULES if part(m) == zone and "Table(" in m.read_text("utf-8")]
    assert declaring
    for module in declaring:
        assert {library for library, _ in imports(module)} <= {"stedi", "dataclasses", "collections", "typing"}, module
