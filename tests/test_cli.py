"""Commands as a user types them: output, exit codes, wording of errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Lake
from tests.test_pipeline import small


def stedi(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("stedi")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def folder(lake: Lake, tmp_path: Path) -> Path:
    small(lake)
    assert stedi(tmp_path, "run").returncode == 0
    return tmp_path


def test_run_as_json_is_one_object_on_standard_output(folder: Path) -> None:
    done = stedi(folder, "--json", "run", "--policy", "reading")
    report = json.loads(done.stdout)
    assert report["policy"] == "reading"
    assert report["tables"]["accelerometer_trusted"]["rows"] == 20
    assert report["quarantined"] == {"customer": 0, "accelerometer": 0, "step_trainer": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        ["tables"],
        ["show", "device_owner"],
        ["history", "customer_trusted"],
        ["quality"],
        ["quarantine"],
        ["ddl", "quarantine"],
    ],
)
def test_every_look_prints_text_and_json(folder: Path, arguments: list[str]) -> None:
    assert stedi(folder, *arguments).stdout.strip()
    assert json.loads(stedi(folder, "--json", *arguments).stdout)


def test_query_formats(folder: Path) -> None:
    sql = "SELECT count(*) AS n, 'a,b' AS t FROM customer_trusted"
    assert stedi(folder, "query", sql, "--format", "csv").stdout == 'n,t\n2,"a,b"\n'
    assert json.loads(stedi(folder, "query", sql, "--format", "json").stdout) == [{"n": 2, "t": "a,b"}]
    assert json.loads(stedi(folder, "--json", "query", sql).stdout) == {"columns": ["n", "t"], "rows": [[2, "a,b"]]}


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'stolen.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "CREATE TABLE t AS SELECT 1",
        "ATTACH 'other.db'",
        "SELECT 1; COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT * FROM read_text('lakehouse/pseudonym.key')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SET enable_external_access = true",
        "",
    ],
)
def test_queries_cannot_write_or_read_other_files(folder: Path, sql: str) -> None:
    done = stedi(folder, "query", sql)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("stedi: ")
    assert not (folder / "stolen.csv").exists()


def test_pictures_are_written(folder: Path) -> None:
    assert stedi(folder, "show", "customer_trusted", "--svg", "a.svg").returncode == 0
    assert "customer_trusted" in (folder / "a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rnu"], 2, "No such command"),
        (["show", "customer_trused"], 2, "no table is called 'customer_trused'"),
        (["--landing", "nowhere", "run"], 1, "landing folder nowhere does not exist"),
        (["--warehouse", "nowhere", "tables"], 1, "no warehouse at nowhere"),
        (["query", "SELECT * FROM nothing"], 1, "nothing"),
        (["query", "SELECT 1", "--as-of", "yesterday"], 2, "neither a finished run nor a time"),
        (["--config", "none.toml", "tables"], 2, "none.toml does not exist"),
        (["simulate", "landing"], 2, "is not empty"),
        (["quarantine", "--feed", "shoes"], 2, "no feed is called 'shoes'"),
    ],
)
def test_errors_are_one_clear_line(folder: Path, arguments: list[str], code: int, message: str) -> None:
    done = stedi(folder, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_settings_are_refused_and_the_order_of_sources_holds(folder: Path) -> None:
    (folder / "stedi.toml").write_text("warehuose = 'x'\n")
    assert "warehuose" in stedi(folder, "tables").stderr
    (folder / "stedi.toml").write_text("warehouse = 'nowhere'\n")
    assert stedi(folder, "tables").returncode == 1
    assert stedi(folder, "--warehouse", "lakehouse", "tables").returncode == 0
