"""When a fall of consent is an alarm, and the setting that says so."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi.config import load_settings
from stedi.errors import UsageError
from stedi.model.alarms import Alarm, fall_of_consent


@pytest.mark.parametrize(
    ("before", "now", "alarm_drop", "is_alarm"),
    [
        (482, 3, 0.5, True),
        (100, 50, 0.5, False),
        (100, 49, 0.5, True),
        (99, 0, 0.5, False),
        (100, 0, 1.0, False),
        # 100 times 0.29 is a little less than 29 in binary.
        (100, 71, 0.29, False),
        (100, 70, 0.29, True),
        (100, 200, 0.001, False),
    ],
)
def test_a_fall_by_more_than_the_share_is_an_alarm(before: int, now: int, alarm_drop: float, is_alarm: bool) -> None:
    assert (fall_of_consent(before, now, alarm_drop) is not None) == is_alarm


def test_an_alarm_says_what_happened_and_what_to_do() -> None:
    assert fall_of_consent(482, 3, 0.5) == Alarm(
        "fall_of_consent",
        "consent in force fell from 482 to 3 customers (99%) in this run; look at `stedi quality` (consent dates that "
        "can't be used) and `stedi quarantine`; if the feed is at fault, land corrected files: the next run restores these "
        "customers",
        482,
        3,
    )
    planned = fall_of_consent(30_000, 1, 0.5, dry_run=True)
    assert planned is not None
    # Rounded down: somebody is left.
    assert planned.message.startswith("consent in force would fall from 30,000 to 1 customers (99%) in this run;")


@given(before=st.integers(0, 10_000), now=st.integers(0, 10_000), percent=st.integers(1, 100))
def test_a_share_in_percent_is_compared_exactly(before: int, now: int, percent: int) -> None:
    expected = before >= 100 and 100 * (before - now) > percent * before
    assert (fall_of_consent(before, now, percent / 100) is not None) == expected


def test_the_share_is_a_setting_beside_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "stedi.toml"
    file.write_text("[consent]\nalarm_drop = 0.3\n")
    assert load_settings(None, {}).consent.alarm_drop == 0.5
    # An option for the policy leaves the share as the file has it.
    consent = load_settings(file, {"policy": "reading"}).consent
    assert (consent.policy, consent.alarm_drop) == ("reading", 0.3)
    monkeypatch.setenv("STEDI_CONSENT__ALARM_DROP", "0.2")
    assert load_settings(file, {}).consent.alarm_drop == 0.2
    assert load_settings(file, {"alarm_drop": "1"}).consent.alarm_drop == 1


@pytest.mark.parametrize("share", ["0", "1.01", "-0.5", "nan", "half"])
def test_no_share_is_refused(share: str) -> None:
    with pytest.raises(UsageError, match=r"consent\.alarm_drop"):
        load_settings(None, {"alarm_drop": share})
