"""Landing files of walks, from which the training set is computed."""

from stedi.tables.curated.step_training_set import TABLE
from tests.support.lake import T0, Lake, Record, customer, distance

SET = TABLE.name


def walk(user: str, serial: str, start: int, *, step_every: int = 600) -> dict[str, list[Record]]:
    """Return landing files of a walk of six seconds: the phone reads every 20 ms, the sensor every 60 ms."""
    times = range(start, start + 6_000, 20)
    return {
        f"accelerometer/{user}-{start}.json": [
            {"user": f"{user}@x", "timeStamp": T0 + t, "x": (t % 97) / 7, "y": 0.0, "z": 9.81} for t in times
        ],
        f"step_trainer/{user}-{start}.json": [
            distance(serial, t, 60 if (t - start) % step_every == 0 else 250) for t in times[::3]
        ],
    }


def land(lake: Lake, *walks: dict[str, list[Record]]) -> None:
    """Land the files of walks."""
    for files in walks:
        for name, records in files.items():
            lake.land(name, records)


def land_two_walks(lake: Lake) -> None:
    """Land two consenting customers, and a walk of each."""
    people = [customer(f"{who}@x", 10, shares=10, serial=f"s-{who}") for who in ("ann", "bob")]
    lake.land("customer/1.json", people)
    land(lake, walk("ann", "s-ann", 100_000), walk("bob", "s-bob", 100_010))
