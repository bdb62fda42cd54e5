"""Many small runs in a row leave a bounded number of files, and metadata that stops growing."""

from dataclasses import dataclass
from pathlib import Path

from stedi.config import Settings
from stedi.tables.registry import ALL
from tests.support.compare import contents, found_wrong, opened
from tests.support.lake import Lake, customer, distance, reading

# A run adds three to five files to a table: data, a manifest and its list, and metadata files, of which few are kept.
MOST_FILES_A_RUN = 5


@dataclass(frozen=True)
class Size:
    """What a warehouse takes on the disk."""

    files: int
    metadata_files: int
    largest_metadata_file: int
    snapshots: int
    records_of_runs: int


def size_of(lake: Lake) -> Size:
    warehouse = lake.warehouse
    snapshots = 0
    for table in (table for table in ALL if not table.on_demand):
        with opened(lake, table.name) as iceberg:
            snapshots += len(iceberg.snapshots())
    metadata = [path for path in warehouse.glob("stedi/*/metadata/*") if path.is_file()]
    return Size(
        sum(path.is_file() for path in warehouse.rglob("*")),
        len(metadata),
        # All but the records of landing files and rejects, which grow with what has landed.
        max(path.stat().st_size for path in metadata if path.name.endswith(".metadata.json")),
        snapshots,
        len(list((warehouse / "runs").iterdir())),
    )


def land_something(lake: Lake, number: int) -> None:
    """A new file for one of the feeds, in turn; every ninth run somebody gives consent or withdraws it."""
    people = [f"p{i}" for i in range(5)]
    if number == 0:
        lake.land("customer/broken.json", b'{"email": "held@x"}\n')
    if number % 9 == 0:
        someone = people[number // 9 % 5]
        gives = number // 45 % 2 == 0
        lake.land(
            f"customer/{number}.json",
            [customer(f"{someone}@x", 10 + number, shares=10 + number if gives else None, serial=f"s-{someone}")],
        )
    elif number % 3 == 0:
        lake.land(
            f"step_trainer/{number}.json", [distance(f"s-{p}", 1000 + number * 10 + t) for p in people for t in range(4)]
        )
    else:
        records = [reading(f"{p}@x", 1000 + number // 3 * 30 + t) for p in people for t in range(4)]
        lake.land(f"accelerometer/{number}.json", [*records, {"user": "nobody"}])


def test_many_small_runs_leave_a_bounded_number_of_files(tmp_path: Path, is_deep: bool) -> None:
    runs, maintain_every, keep_runs = (500, 10, 5) if is_deep else (36, 5, 2)
    # Metadata grows until its log of earlier versions is full.
    grown = 3 * maintain_every
    lake = Lake(tmp_path)
    maintenance = {"maintain_every": maintain_every, "keep_runs": keep_runs}
    lake.settings = Settings.model_validate(lake.settings.model_dump() | maintenance)
    sizes: dict[int, Size] = {}
    for number in range(runs):
        land_something(lake, number)
        report = lake.run()
        assert not report.failed
        if number % maintain_every >= maintain_every - 2:
            # Before a period's maintenance and after it.
            sizes[number + 1] = size_of(lake)
    early = [size for number, size in sizes.items() if grown < number <= (grown + runs) // 2]
    late = [size for number, size in sizes.items() if number > (grown + runs) // 2]
    for what in ("files", "metadata_files", "largest_metadata_file", "snapshots", "records_of_runs"):
        most_early, most_late = (max(getattr(size, what) for size in some) for some in (early, late))
        assert most_late <= 1.25 * most_early, what
    assert max(size.files for size in sizes.values()) <= MOST_FILES_A_RUN * (maintain_every + keep_runs) * len(ALL)
    assert max(size.records_of_runs for size in sizes.values()) == keep_runs + maintain_every - 1
    assert found_wrong(lake) == []
    assert min(len(rows) for rows in contents(lake).values()) > 0
