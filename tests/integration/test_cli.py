"""Commands as a user types them: output, exit codes, wording of errors."""

import json
import subprocess
from pathlib import Path

import pytest

from stedi import __version__
from stedi.ingest.reasons import explain
from stedi.tables.registry import ALL
from tests.support.compare import Died, commits
from tests.support.lake import KEY, Lake, customer, reading, small
from tests.support.program import PROGRAM, started, stedi


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs go on where a `Lake` stopped."""
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)


@pytest.fixture
def folder(small_lake: Lake) -> Path:
    return small_lake.warehouse.parent


def test_run_as_json_is_one_object_on_standard_output(folder: Path) -> None:
    done = started(folder, "--json", "run", "--policy", "reading")
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
        ["devices"],
        ["devices", "s1"],
        ["person", "a@x"],
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
        "WITH a AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM a",
        "EXPLAIN ANALYZE WITH a AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM a",
        "SELECT * FROM (WITH a AS (WITH b AS (COPY (SELECT 1) TO 'stolen.csv') FROM b) FROM a)",
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


def test_queries_cannot_write_over_the_tables_own_files(folder: Path) -> None:
    [file] = (folder / "lakehouse/stedi/customer_trusted/data").rglob("*.parquet")
    before = file.read_bytes()
    copy = f"COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)"
    for sql in (copy, f"WITH a AS ({copy}) SELECT * FROM a"):
        done = stedi(folder, "query", sql)
        assert (done.returncode, "queries only read" in done.stderr) == (1, True)
    assert file.read_bytes() == before


def test_a_text_that_looks_like_writing_is_a_text(folder: Path) -> None:
    text = '"type":"COPY_QUERY_NODE"'
    done = stedi(folder, "--json", "query", f"SELECT '{text}' AS t")
    assert json.loads(done.stdout)["rows"] == [[text]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "FROM range(1000000)", "--format", "csv"],
        ["query", "FROM range(1000000)", "--format", "json"],
        ["query", "FROM range(1000000)", "--format", "parquet"],
        ["query", "FROM range(1000000)"],
        ["--json", "tables"],
        ["ddl"],
    ],
)
def test_a_reader_who_leaves_early_is_no_error(folder: Path, arguments: list[str]) -> None:
    with subprocess.Popen([PROGRAM, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read().decode()
    assert running.returncode == 0
    assert not said or said.startswith("only the first 1,000 rows")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_results_are_utf_8_in_every_locale(folder: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    sql = "SELECT 'İlhan Ωmega' AS name"
    done = subprocess.run(
        [PROGRAM, "query", sql, "--format", form], cwd=folder, capture_output=True, check=True, timeout=120
    )
    assert "İlhan Ωmega" in done.stdout.decode("utf-8")


@pytest.mark.parametrize(("warehouse", "code"), [("lakehouse", 0), ("nowhere", 1)])
def test_closed_standard_streams_lead_nowhere(folder: Path, warehouse: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" --warehouse "$1" tables <&- >&- 2>&-', PROGRAM, warehouse], cwd=folder, check=False, timeout=120
    )
    assert done.returncode == code


@pytest.mark.parametrize(
    "arguments",
    [
        *(["query", "FROM range(100000)", "--format", form] for form in ("table", "csv", "json", "parquet")),
        ["version"],
        ["--version"],
    ],
)
def test_output_that_can_not_be_written_is_said_in_a_line(folder: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "stedi: standard output can't be written: No space left on device; send it elsewhere, or make room\n"
    )


def test_what_is_in_quarantine_and_in_the_sample_is_shown(folder: Path) -> None:
    in_seconds = '{"user": "a@x", "timeStamp": 1640995200, "x": 0, "y": 0, "z": 1}'
    (folder / "landing/accelerometer/bad.json").write_text(f'{{"user": "a@x"}}\n{in_seconds}\n')
    assert stedi(folder, "run").returncode == 0
    shown = stedi(folder, "quarantine").stdout
    assert "timeStamp_missing" in shown
    assert "1,000" in shown
    missing, seconds = json.loads(stedi(folder, "--json", "quarantine").stdout)["quarantined"]
    assert (missing["records"], missing["meaning"]) == (1, explain("timeStamp_missing"))
    assert (seconds["records"], seconds["meaning"]) == (1, explain("timeStamp_perhaps_in_seconds"))
    assert "a@x" in stedi(folder, "show", "customer_trusted").stdout
    assert len(json.loads(stedi(folder, "--json", "show", "customer_trusted").stdout)["sample"]) == 2


def test_a_whole_run_works_below_any_folder_that_can_be_addressed(tmp_path: Path) -> None:
    lake_folder = tmp_path / 'it\'s "q" *[x] %20 %s $HOME {b} & ; ünï 日本 day_ms=5'
    lake_folder.mkdir()
    lake = Lake(lake_folder)
    small(lake)
    lake.run()
    lake.land("accelerometer/2.json", [reading("a@x", 500)])
    lake.land("customer/2.json", [customer("b@x", 20)])
    assert stedi(lake_folder, "run").returncode == 0
    sql = "SELECT count(*) AS n FROM accelerometer_trusted"
    elsewhere = stedi(tmp_path, "--warehouse", str(lake_folder / "lakehouse"), "query", sql, "--format", "csv")
    assert elsewhere.stdout == "n\n11\n"
    assert list(tmp_path.iterdir()) == [lake_folder]
    assert {path.name for path in lake_folder.iterdir()} == {"landing", "lakehouse"}


@pytest.mark.parametrize("name", ["a?b", "a#b", "a\\b", "a\nb"])
def test_a_folder_that_readers_of_iceberg_cannot_find_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    lake_folder = tmp_path / name
    (lake_folder / "landing").mkdir(parents=True)
    done = stedi(lake_folder, "run")
    assert done.returncode == 2
    assert done.stderr.startswith("stedi: setting 'warehouse': ")
    assert [path.name for path in lake_folder.iterdir()] == ["landing"]


def test_a_warehouse_that_was_moved_is_told_apart_from_a_broken_one(folder: Path) -> None:
    (folder / "lakehouse").rename(folder / "elsewhere")
    for command in (["run"], ["tables"], ["query", "SELECT 1"]):
        done = stedi(folder, "--warehouse", "elsewhere", *command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"elsewhere was created at {folder / 'lakehouse'}" in done.stderr


def test_the_landing_folder_may_have_any_name_and_be_given_from_elsewhere(lake: Lake, tmp_path: Path) -> None:
    small(lake)
    lake.landing.rename(tmp_path / "land ?*[x] #1 %20 é")
    (tmp_path / "elsewhere").mkdir()
    done = stedi(tmp_path / "elsewhere", "--landing", "../land ?*[x] #1 %20 é", "--warehouse", "../w", "run")
    assert done.returncode == 0
    found = stedi(tmp_path, "--warehouse", "w", "query", "SELECT count(*) AS n FROM customer_landing", "--format", "csv")
    assert found.stdout == "n\n2\n"


def test_data_cannot_steer_a_terminal(folder: Path) -> None:
    shown = stedi(folder, "query", "SELECT chr(27) || '[31mred' || chr(7) AS t").stdout
    assert "\\x1b[31mred\\x07" in shown
    assert "\x1b" not in shown


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert stedi(tmp_path, "--version").stdout == stedi(tmp_path, "version").stdout == f"{__version__}\n"


def test_where_no_run_finished_a_look_says_so(lake: Lake, tmp_path: Path) -> None:
    small(lake)
    with commits(die_at=2), pytest.raises(Died):
        lake.run()
    looks = (
        ["show", "customer_trusted"],
        ["query", "SELECT 1"],
        ["quality"],
        ["quarantine"],
        ["devices"],
        ["devices", "s1"],
        ["person", "a@x"],
        ["access", "a@x", "--out", "out"],
    )
    for look in looks:
        done = stedi(tmp_path, *look)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "no run has finished in lakehouse; start one with `stedi run`" in done.stderr


@pytest.mark.parametrize("place", ["file", "file/demo"])
def test_a_demo_where_nothing_can_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    done = stedi(tmp_path, "demo", place)
    assert done.returncode == 2
    assert f"folder {place} can't be written" in done.stderr


def test_devices_are_counted_and_one_is_explained_without_an_address(folder: Path) -> None:
    counted = json.loads(stedi(folder, "devices", "--json").stdout)
    assert {row["status"]: (row["devices"], row["readings"]) for row in counted["statuses"]} == {
        "confirmed": (0, 0),
        "claimed": (2, 10),
        "inferred": (0, 0),
        "ambiguous": (0, 0),
        "unknown": (0, 0),
        "all": (2, 10),
    }
    done = stedi(folder, "devices", " S1 ", "--svg", "s1.svg", "--json")
    explained = json.loads(done.stdout)
    [period] = explained["periods"]
    sql = "SELECT customer_pseudonym FROM customers_curated WHERE person = 'a@x'"
    [[pseudonym]] = json.loads(stedi(folder, "--json", "query", sql).stdout)["rows"]
    assert (explained["serialNumber"], explained["claimants"]) == ("s1", 1)
    assert (period["owner"], period["status"], period["coincidences"]) == (pseudonym[:12], "claimed", 10)
    shown = stedi(folder, "devices", "s1").stdout
    assert "100%" in shown
    assert pseudonym[:12] in shown
    assert "device s1: reading times" in (folder / "s1.svg").read_text("utf-8")
    assert all("a@x" not in text for text in (shown, done.stdout, (folder / "s1.svg").read_text("utf-8")))


def test_pictures_are_written(folder: Path) -> None:
    assert stedi(folder, "show", "customer_trusted", "--svg", "a.svg").returncode == 0
    assert "customer_trusted" in (folder / "a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--policy", "all"], 2, "Invalid value for '--policy': 'all' is not one of 'customer', 'reading'"),
        (["run", "--engine", "sparc"], 2, "'sparc' is not one of 'embedded', 'spark'"),
        (["run", "--nope"], 2, "No such option: --nope (see `stedi run --help`)"),
        (["show"], 2, "Missing argument 'TABLE'"),
        (["tables", "--warehouse"], 2, "Option '--warehouse' requires an argument"),
        (["tables", "--landing", "x", "--warehouse", "nowhere"], 1, "no warehouse at nowhere"),
        (["show", "customer_trused"], 2, "unknown table 'customer_trused'; did you mean customer_trusted"),
        (["show", "xyz"], 2, "unknown table 'xyz'; the tables are customer_landing, "),
        (["run", "--select", "device_owners"], 2, "unknown table 'device_owners'; did you mean device_owner"),
        (["ddl", "quarantin"], 2, "did you mean quarantine?"),
        (["--landing", "landing/customer/1.json", "run"], 1, "landing folder landing/customer/1.json is no folder"),
        (["--landing", "nowhere", "run"], 1, "landing folder nowhere does not exist"),
        (["--warehouse", "nowhere", "tables"], 1, "no warehouse at nowhere"),
        (["query", "SELECT * FROM nothing"], 1, "nothing"),
        (["query", "SELECT 1", "--as-of", "yesterday"], 2, "neither a finished run nor a time"),
        (["--config", "none.toml", "tables"], 2, "none.toml does not exist"),
        (["simulate", "landing"], 2, "is not empty"),
        (["quarantine", "--feed", "shoes"], 2, "unknown feed 'shoes'"),
        (["quarantine", "--feed", "costumer"], 2, "did you mean customer?"),
        (["devices", "s"], 1, "no device has the serial number 's'; check it, or start `stedi run`"),
        (["devices", "s1\n' OR '' = '"], 1, r"""no device has the serial number "s1 ' or '' = '"; """),
        (["devices", ""], 2, "the serial number is blank"),
        (["devices", " \u200b"], 2, "the serial number is blank"),
        (["devices", "s1", "--svg", "nowhere/a.svg"], 1, "picture nowhere/a.svg can't be written"),
    ],
)
def test_errors_are_one_clear_line(folder: Path, arguments: list[str], code: int, message: str) -> None:
    done = stedi(folder, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--warehouse", "lakehouse", "tables"],
        ["tables", "--json", "--warehouse", "lakehouse"],
        ["--warehouse=lakehouse", "tables", "--json"],
        ["tables", "--warehouse=lakehouse", "--json"],
    ],
)
def test_global_options_may_stand_before_the_command_and_behind_it(folder: Path, arguments: list[str]) -> None:
    assert len(json.loads(stedi(folder, *arguments).stdout)["tables"]) == len(ALL)


def test_behind_two_dashes_nothing_is_an_option(folder: Path) -> None:
    (folder / "lakehouse").rename(folder / "--json")
    done = stedi(folder, "demo", "--", "--json")
    assert (done.returncode, "folder --json contains other files" in done.stderr) == (2, True)


def test_unknown_settings_are_refused_and_the_order_of_sources_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "stedi.toml").write_text("warehuose = 'x'\n")
    assert "warehuose" in stedi(folder, "tables").stderr
    (folder / "stedi.toml").write_text("warehouse = 'nowhere'\n")
    assert stedi(folder, "tables").returncode == 1
    assert stedi(folder, "--warehouse", "lakehouse", "tables").returncode == 0
    monkeypatch.setenv("STEDI_WAREHOUSE", "lakehouse")
    assert stedi(folder, "tables").returncode == 0
    assert "no warehouse at elsewhere" in stedi(folder, "--warehouse", "elsewhere", "tables").stderr


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("STEDI_CONSENT_POLICY", "did you mean STEDI_CONSENT__POLICY"),
        ("STEDI_CONSENT__POLIC", "did you mean STEDI_CONSENT__POLICY"),
        ("stedi_warehose", "the environment settings are STEDI_LANDING, "),
    ],
)
def test_a_misspelled_setting_in_the_environment_is_not_overlooked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    monkeypatch.setenv(variable, "reading")
    done = stedi(folder, "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"unknown environment setting '{variable}'; {hint}" in done.stderr


def test_an_empty_setting_is_no_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("STEDI_PSEUDONYM_KEY", "STEDI_LANDING", "STEDI_WAREHOUSE"):
        monkeypatch.setenv(variable, " ")
        done = stedi(folder, "run")
        said = f"stedi: environment setting {variable} is empty; give it a value, or unset it\n"
        assert (done.returncode, done.stderr) == (2, said)
        monkeypatch.delenv(variable)
    for line in ("pseudonym_key = ''", "landing = ''", "warehouse = ''"):
        (folder / "stedi.toml").write_text(line)
        assert stedi(folder, "run").returncode == 2


def test_a_warehouse_among_the_landing_files_is_refused(folder: Path) -> None:
    for warehouse in ("landing/customer", "landing/accelerometer/x/lake"):
        done = stedi(folder, "--warehouse", warehouse, "run")
        assert (done.returncode, "is inside the landing folder" in done.stderr) == (2, True)
        assert not (folder / warehouse / "catalog.db").exists()


def test_a_group_of_commands_without_one_shows_its_help_and_nothing_else(tmp_path: Path) -> None:
    done = stedi(tmp_path, "aws")
    assert done.returncode == 2
    assert "deploy" in done.stdout + done.stderr
    assert "stedi:" not in done.stderr


@pytest.mark.parametrize(
    ("command", "fails_with", "said"),
    [
        (
            "train",
            "OSError('libgomp.so.1: cannot open shared object file')",
            "can't be loaded (libgomp.so.1: cannot open shared object file); install that library",
        ),
        ("evaluate", "ModuleNotFoundError(name='lightgbm')", "is not installed (lightgbm): "),
    ],
)
def test_what_the_detector_lacks_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, fails_with: str, said: str
) -> None:
    (tmp_path / "lightgbm.py").write_text(f"raise {fails_with}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = started(tmp_path, command)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--truth", "--positions"])
def test_a_mistyped_file_about_people_leaves_no_warehouse_behind(tmp_path: Path, option: str) -> None:
    done = stedi(tmp_path, "evaluate", option, "nope.csv")
    assert done.returncode == 2
    assert "file nope.csv does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == []
