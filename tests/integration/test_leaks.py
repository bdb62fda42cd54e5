"""Nothing that the program prints names a simulated person: no report, no progress, no error, no trace.

`stedi query` and `stedi show` print rows because users ask for them. Serial numbers are printed only if a question is about
them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq
import pytest

from stedi.cli import progress
from stedi.pipeline import runner
from stedi.simulate.landing_files import simulate
from stedi.simulate.options import SimulationOptions
from tests.support.compare import Kept
from tests.support.lake import KEY, Lake
from tests.support.leaks import Identifier, find_leaks, identifiers_of, pseudonym_of
from tests.support.program import stedi

# Time of a record that is newer than all simulated ones: 2026-05-01.
LATE_MS = 1_777_593_600_000


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is printed at once instead of every ten seconds."""
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.01)


class Town:
    """A lake of simulated people, and who they are."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(folder)
        self.folder = folder
        options = SimulationOptions(customers=12, days=1, seed=4, readings=1_500, shared_homes=0.3, hand_overs=0.2)
        simulate(self.lake.landing / "simulated", options)
        for name in ("customer", "accelerometer", "step_trainer"):
            (self.lake.landing / "simulated" / name).rename(self.lake.landing / name)
        self.identifiers = identifiers_of(self.lake.landing)
        self.addresses = sorted(one.value for one in self.identifiers if one.kind == "address")
        self._land_defects()

    def _land_defects(self) -> None:
        """Land records and names of files that tempt the program to quote them."""
        first, second, third, *_ = self.addresses
        unusable = {"email": first, "customerName": "Chika Abram", "lastUpdateDate": "?"}
        self.lake.land(f"customer/{first}.json", [unusable, {"email": f"{second}, {third}", "lastUpdateDate": LATE_MS}])
        self.lake.land(f"customer/{second}.csv", b"email\n" + second.encode())
        self.lake.land(f"customers of {third}/1.json", [unusable])
        self.lake.land(f"accelerometer/{third}.json", [{"user": third, "timeStamp": third, "x": third}])

    def call(self, *arguments: str) -> str:
        """Call the command line; return all that it prints, errors and progress first."""
        done = stedi(self.folder, *arguments)
        assert "Traceback" not in done.stderr or "--trace" in arguments
        return f"{done.stderr}\n{done.stdout}"

    def leaks(self, printed: str, *, allowed: Identifier | None = None) -> set[Identifier]:
        return find_leaks(printed, self.identifiers - {allowed})


@pytest.fixture(scope="module")
def kept_town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Town, Kept, str]:
    """The town after two runs, and all that the plans and the runs printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEDI_PSEUDONYM_KEY", KEY)
        patch.setattr(progress, "_LINE_SECONDS", 0.01)
        town = Town(tmp_path_factory.mktemp("town"))
        printed = town.call("run", "--dry-run", "--json") + town.call("run", "--json")
        town.lake.land("customer/late.json", [{"email": town.addresses[3], "lastUpdateDate": LATE_MS}])
        printed += town.call("run", "--dry-run") + town.call("run")
    return town, Kept(town.lake), printed


@pytest.fixture
def town(kept_town: tuple[Town, Kept, str]) -> Iterator[Town]:
    yield kept_town[0]
    kept_town[1].put_back()


def test_identifiers_are_found_wherever_they_hide(town: Town) -> None:
    kinds = {one.kind for one in town.identifiers}
    assert kinds == {"address", "local part", "name", "phone", "birthday", "serial", "pseudonym"}
    for one in town.identifiers:
        for text in (one.value.upper(), f'"{one.value}"', f"<text>{one.value.replace(' ', '&#160;')}</text>"):
            assert one in town.leaks(f"of {text}, 3 rows")
    address = next(one for one in town.identifiers if one.kind == "address")
    assert address in town.leaks(address.value[:9] + "\n" + address.value[9:])
    pseudonym = next(one for one in town.identifiers if one.kind == "pseudonym")
    assert not town.leaks(pseudonym.value[:12])


def test_runs_and_plans_name_nobody(kept_town: tuple[Town, Kept, str], town: Town) -> None:
    printed = kept_town[2]
    log = [path.read_text("utf-8") for path in (town.lake.warehouse / "runs").iterdir()]
    assert "consent on hold" in printed
    assert "refreshing accelerometer_landing" in printed
    assert "(name with @)" in printed
    assert len(log) == 2
    assert not town.leaks(printed)
    assert not town.leaks("".join(log))


def test_reports_name_nobody(town: Town) -> None:
    commands = (
        ["quarantine", "--replay"],
        ["quarantine", "--json"],
        ["quality"],
        ["quality", "--json"],
        ["devices"],
        ["devices", "--json"],
        ["history", "customer_trusted"],
        ["tables"],
        ["models"],
        ["privacy"],
        ["privacy", "--all", "--json"],
        ["verify"],
        ["query", "SELECT examples FROM rule_result"],
        ["maintain", "--json"],
    )
    printed = {tuple(command): town.call(*command) for command in commands}
    assert "(name with @)" in printed["quarantine", "--json"]
    assert json.loads(printed["privacy", "--all", "--json"].splitlines()[-1])["holds"] == 3
    assert {command: found for command, text in printed.items() if (found := town.leaks(text))} == {}


def test_answers_about_one_name_no_other(town: Town) -> None:
    address = next(one for one in town.identifiers if one.kind == "address" and one.value == town.addresses[0])
    printed = town.call("person", address.value.upper(), "--svg", "person.svg", "--trace")
    printed += (town.folder / "person.svg").read_text("utf-8")
    # Serial numbers in the person's records, which may be those of other devices.
    assert {one.kind for one in town.leaks(printed)} <= {"serial"}
    assert "(name with @)" in printed
    for serial in sorted((one for one in town.identifiers if one.kind == "serial"), key=lambda one: one.value)[:3]:
        printed = town.call("devices", serial.value, "--svg", "device.svg", "--trace")
        picture = town.folder / "device.svg"
        printed += picture.read_text("utf-8") if picture.exists() else ""
        assert not town.leaks(printed, allowed=serial)


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; none if it does not exist."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def test_data_that_are_handed_over_name_no_other(town: Town) -> None:
    for number, address in enumerate(town.addresses[:2]):
        assert not town.leaks(town.call("access", address, "--out", f"out{number}", "--trace"))
        folder = town.folder / f"out{number}"
        records = lines_of(folder / "customer_records.jsonl")
        quarantined = lines_of(folder / "quarantined_records.jsonl")
        records += [json.loads(row["raw_record"]) for row in quarantined if row["reason"].startswith("lastUpdateDate")]
        # Birthdays, names and phone numbers may be those of several people, and claimed serial numbers of other devices.
        own = {str(value).strip().lower() for record in records for value in record.values()}
        own |= {one["serial"] for one in json.loads((folder / "devices.json").read_text("utf-8"))["devices"]}
        tables = [str(pq.read_table(path).to_pylist()) for path in folder.rglob("*.parquet")]
        text = "".join(path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file())
        found = {one for one in town.leaks("".join((text, *tables))) if one.value not in own}
        assert {one.kind for one in found} <= {"local part", "pseudonym"}
        local, customer = address.partition("@")[0], Identifier("address", address)
        theirs = {Identifier("pseudonym", pseudonym_of(one)) for one in (customer, *(Identifier("serial", s) for s in own))}
        assert found <= {Identifier("local part", local), *theirs}


def test_errors_and_traces_name_nobody(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = [
        town.call("query", "SELECT email::INT FROM customer_landing", "--trace"),
        town.call("query", "SELECT strptime(customerName, '%Y') FROM customer_landing", "--trace"),
        town.call("person", f"{town.addresses[0]}, {town.addresses[1]}", "--trace"),
    ]
    for path in (town.lake.warehouse / "stedi" / "customer_landing" / "data").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    commands = (["run", "--full-refresh"], ["verify"], ["person", town.addresses[0]], ["privacy"])
    printed += [town.call(*command, "--trace") for command in commands]

    def fail(*_: Any, **__: Any) -> NoReturn:
        try:
            raise KeyError(town.addresses[0])
        except KeyError:
            raise ValueError(f"could not convert {town.addresses[1]}") from None

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied", f"/landing/customer/{town.addresses[2]}.json")

    for failing in (fail, refuse):
        monkeypatch.setattr(runner, "list_landing", failing)
        printed += [town.call("run"), town.call("run", "--trace")]
    assert all("stedi: " in text for text in printed)
    assert "in fail" in printed[-3]
    assert "ValueError: (text left out" in printed[-3]
    assert {text.splitlines()[0]: found for text in printed if (found := town.leaks(text))} == {}
