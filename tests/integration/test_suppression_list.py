"""The suppression list in its folder: changes, keys, damage; and which quarantined records it stops."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi.config import Settings
from stedi.errors import StediError, UsageError, WarehouseBusyError, WarehouseError
from stedi.ingest.quarantine_screen import QuarantineScreen, Screening
from stedi.ingest.suppression import DevicePeriod, ErasedPerson, SuppressionList, open_suppression
from stedi.storage import open_warehouse
from tests.support.customer_feeds import SPELLINGS
from tests.support.lake import T0

ANN = ErasedPerson("Ann <ANN@x.org>", (DevicePeriod(" S-1 ", T0, None), DevicePeriod("s-2", None, T0 + 5)))
BOB = ErasedPerson("bob@y.org")
ERASED_AT, LIFTED_AT = T0 + 1_000, T0 + 2_000
SECRET = "a secret for tests"
LIST, KEY = "suppression/list.json", "suppression.key"


def settings(folder: Path, secret: str | None = None) -> Settings:
    return Settings.model_validate({"warehouse": str(folder / "lakehouse"), "privacy": {"suppression_key": secret}})


@pytest.fixture
def privacy(tmp_path: Path) -> Path:
    return tmp_path / "lakehouse-privacy"


def add(folder: Path, *people: ErasedPerson, at_ms: int = ERASED_AT, erasure_id: str = "first") -> SuppressionList:
    return open_suppression(settings(folder)).add(people, erased_at_ms=at_ms, erasure_id=erasure_id)


def test_a_list_that_nobody_needs_creates_nothing(tmp_path: Path, privacy: Path) -> None:
    suppression = open_suppression(settings(tmp_path))
    assert (suppression.is_empty, suppression.generation, suppression.find("ann@x.org")) == (True, 0, ())
    assert not privacy.exists()


@pytest.mark.parametrize(
    ("warehouse", "folder"),
    [
        ("lake", "lake-privacy"),
        ("/data/lake/", "/data/lake-privacy"),
        (".", f"{Path.cwd()}-privacy"),
        ("s3://bucket/lake/", "s3://bucket/lake-privacy"),
        ("s3://bucket", "s3://bucket/privacy"),
    ],
)
def test_the_privacy_folder_is_beside_the_warehouse(warehouse: str, folder: str) -> None:
    assert Settings.model_validate({"warehouse": warehouse}).privacy_folder == folder


def test_tombstones_are_found_by_every_spelling_and_contain_no_identifier(tmp_path: Path, privacy: Path) -> None:
    suppression = add(tmp_path, ANN, BOB)
    assert suppression == open_suppression(settings(tmp_path))
    assert suppression.generation == 1
    [stone] = suppression.find("mailto:ann@X.org")
    assert (stone.erasure_id, stone.generation, stone.erased_at_ms, stone.lifted_at_ms) == ("first", 1, ERASED_AT, None)
    assert [(d.device, d.from_ms, d.to_ms) for d in stone.devices] == [
        (suppression.device_digest("s-1"), T0, ERASED_AT),
        (suppression.device_digest("s-2"), None, T0 + 5),
    ]
    assert suppression.find("cat@x.org") == ()
    content = (privacy / LIST).read_text().lower()
    for plain in ("ann", "x.org", "bob", "s-1", "s-2", (privacy / KEY).read_text().lower()):
        assert plain not in content
    assert (privacy / KEY).stat().st_mode & 0o777 == 0o600


def test_the_same_erasure_is_added_once(tmp_path: Path) -> None:
    assert add(tmp_path, ANN) == add(tmp_path, ANN, at_ms=ERASED_AT + 5)
    assert add(tmp_path, BOB, erasure_id="second").generation == 2


def test_a_person_is_let_in_and_erased_again(tmp_path: Path) -> None:
    first = add(tmp_path, ANN, BOB)
    with pytest.raises(StediError, match="nobody with this address was erased"):
        first.lift("cat@x.org", at_ms=LIFTED_AT)
    with pytest.raises(UsageError):
        first.lift("ann@x.org, bob@y.org", at_ms=LIFTED_AT)
    lifted = first.lift("ANN@x.org", at_ms=LIFTED_AT)
    subject, other = lifted.subject("ann@x.org"), lifted.subject("bob@y.org")
    assert lifted.lift("ann@x.org", at_ms=LIFTED_AT + 9) == lifted
    assert (lifted.refusals[subject].until_ms, lifted.refusals[subject].lifted_at_ms) == (ERASED_AT, LIFTED_AT)
    assert lifted.refusals[other].until_ms is None
    assert (lifted.last_lift, lifted.has_erasures_after(1)) == (2, False)
    again = add(tmp_path, ANN, at_ms=LIFTED_AT + 500, erasure_id="second")
    assert again.refusals[subject].until_ms is None
    assert [stone.lifted_at_ms for stone in again.find("ann@x.org")] == [LIFTED_AT, None]
    twice = again.lift("ann@x.org", at_ms=LIFTED_AT + 900)
    assert (twice.refusals[subject].until_ms, twice.refusals[subject].lifted_at_ms) == (LIFTED_AT + 500, LIFTED_AT + 900)
    assert twice.generation == 4


def test_additions_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def erase(number: int) -> None:
        add(tmp_path, ErasedPerson(f"p{number}@x.org"), erasure_id=f"erasure {number}")

    threads = [threading.Thread(target=erase, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    suppression = open_suppression(settings(tmp_path))
    assert suppression.generation == 8
    assert all(suppression.find(f"p{number}@x.org") for number in range(8))


def test_a_list_that_another_process_holds_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stedi.ingest.suppression._WAIT_SECONDS", 0)
    with (
        open_warehouse(settings(tmp_path).privacy_folder).write_lock(),
        pytest.raises(WarehouseBusyError, match="another process is changing the suppression list"),
    ):
        add(tmp_path, ANN)


def test_a_configured_secret_needs_no_file(tmp_path: Path, privacy: Path) -> None:
    configured = settings(tmp_path, SECRET)
    first = open_suppression(configured).add([ANN], erased_at_ms=ERASED_AT, erasure_id="first")
    assert not (privacy / KEY).exists()
    with pytest.raises(WarehouseError, match=r"the key of the suppression list .* is missing"):
        open_suppression(settings(tmp_path))
    with pytest.raises(WarehouseError, match="was made with another key, so erased people would not be recognised"):
        open_suppression(settings(tmp_path, "another"))
    (privacy / KEY).write_text(f"{SECRET}\n")
    assert open_suppression(settings(tmp_path)).find("ann@x.org") == first.find("ann@x.org")


def test_an_empty_secret_is_refused(tmp_path: Path, privacy: Path) -> None:
    add(tmp_path, ANN)
    (privacy / KEY).write_text(" \n")
    with pytest.raises(WarehouseError, match="is empty"):
        open_suppression(settings(tmp_path))


def test_every_damage_of_the_list_is_refused(tmp_path: Path, privacy: Path) -> None:
    add(tmp_path, ANN, BOB)
    content = (privacy / LIST).read_bytes()
    document = json.loads(content)
    damaged = [b"", b"null", b"[]", b"{}", content[:-10], content.replace(b'"first"', b'"other"')]
    for digit in range(0, 64, 9):
        subject = document["changes"][0]["erased"][1]["subject"]
        changed = f"{subject[:digit]}{'0' if subject[digit] != '0' else '1'}{subject[digit + 1 :]}"
        damaged.append(content.replace(subject.encode(), changed.encode()))
    for bad in damaged:
        assert bad != content
        (privacy / LIST).write_bytes(bad)
        with pytest.raises(WarehouseError, match="is damaged; restore the privacy folder"):
            open_suppression(settings(tmp_path))


def test_a_killed_addition_leaves_the_old_list(tmp_path: Path, privacy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = add(tmp_path, ANN)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stedi.storage.disk.os.fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        add(tmp_path, BOB, erasure_id="second")
    monkeypatch.undo()
    assert open_suppression(settings(tmp_path)) == first
    assert add(tmp_path, BOB, erasure_id="second").generation == 2


# Quarantined records


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> SuppressionList:
    return add(tmp_path_factory.mktemp("erased"), ANN)


@pytest.fixture(scope="module")
def let_in(tmp_path_factory: pytest.TempPathFactory) -> SuppressionList:
    return add(tmp_path_factory.mktemp("let-in"), ANN).lift("ann@x.org", at_ms=LIFTED_AT)


def is_stopped(suppression: SuppressionList, text: str, arrived_at_ms: int = ERASED_AT) -> bool:
    return QuarantineScreen(suppression).screen(text, (), arrived_at_ms).is_stopped


# Spellings that are legible in JSON only, or need its quotes.
IN_JSON = ["MAILTO:Ann%40X.org?subject=a@b"]
QUOTED = [
    '{"user": %s, "x": ',
    '{"x": NaN, "USER":%s}',
    "user\t%s",
    '[{"a": [%s',
    "{'user': %s, x: 1,}",
    '{"who": %s "user": 5}',
]
BARE = [
    "%s",
    "user=%s;x=5",
    "{user: %s",
    "<user>%s</user>",
    '{"list": "bob@y.org,%s"}',
    '{"user": "%s',
    '"{\\"user\\": \\"%s\\"}"',
]


@pytest.mark.parametrize("spelling", [*SPELLINGS["ann"], *IN_JSON])
def test_no_spelling_in_a_quarantined_record_passes(erased: SuppressionList, spelling: str) -> None:
    texts = [text % json.dumps(spelling, ensure_ascii=ascii) for text in QUOTED for ascii in (True, False)]
    if spelling not in IN_JSON:
        texts += [text % spelling for text in BARE] + [text % json.dumps(spelling)[1:-1] for text in BARE]
    assert [text for text in texts if not is_stopped(erased, text)] == []


OTHERS = [
    "ann+1@x.org",
    "an.n@x.org",
    "ann@y.org",
    "ann@sub.x.org",
    "anne@x.org",
    "s-11",
    "s_1",
    "ann",
    "x.org",
    '"an n"@x.org',
]
NOISE = st.lists(st.sampled_from([*OTHERS, *" \n\"\\{}[]:,;=<>()'", "\\u0061", '"user":', "1e5", str(T0)]), max_size=12)


@given(NOISE.map("".join), NOISE.map(" ".join))
def test_a_record_is_stopped_only_if_it_has_an_identity_of_the_person(
    erased: SuppressionList, glued: str, spaced: str
) -> None:
    # Glued pieces may happen to be ann's address.
    assert is_stopped(erased, glued) <= any(identity in glued for identity in ("ann@x.org", "s-1", "\\"))
    assert not is_stopped(erased, spaced.replace("\\", ""))
    assert is_stopped(erased, f"{glued} ann@x.org {spaced}")


@pytest.mark.parametrize(
    "text", ['{"serialNumber": "S-1", "distance', '{"serialNumber":"\\u0073-1"}', "s-1;5;6", '["S-2 "]']
)
def test_a_serial_number_of_the_person_is_enough(erased: SuppressionList, text: str) -> None:
    assert is_stopped(erased, text)


def test_a_record_of_others_with_the_same_serial_number_is_kept(erased: SuppressionList) -> None:
    screen = QuarantineScreen(erased)
    text = '{"email": "bob@y.org", "serialNumber": "s-1"'
    assert screen.screen(text, ("bob@y.org",), ERASED_AT) == Screening(False)
    both = '{"email": "bob@y.org ann@x.org"'
    assert screen.screen(both, ("ann@x.org", "bob@y.org"), ERASED_AT) == Screening(True, ("bob@y.org",))


def test_records_of_a_person_who_was_let_in_pass_if_nothing_shows_that_they_are_old(let_in: SuppressionList) -> None:
    new, old = T0 + 1_001, T0 + 1_000
    for text, arrived_at_ms, expected in (
        ('{"user": "ann@x.org", "x": ', LIFTED_AT, True),
        ('{"user": "ann@x.org", "x": ', LIFTED_AT + 1, False),
        (f'{{"user": "ann@x.org", "timeStamp": {new}, "x": ', LIFTED_AT + 1, False),
        (f'{{"user": "ann@x.org", "timeStamp": "{old}", "x": ', LIFTED_AT + 1, True),
        (f'{{"user": "ann@x.org", "a": {new}, "b": {old}.0, "x": ', LIFTED_AT + 1, True),
        ('{"serialNumber": "s-1"', LIFTED_AT, True),
        ('{"serialNumber": "s-1"', LIFTED_AT + 1, False),
    ):
        assert is_stopped(let_in, text, arrived_at_ms) is expected, text
