"""With any claims and clock offsets, nobody without consent has a row, and no row pairs two people."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.lake import Record, customer, distance, reading
from tests.support.tables import Tables

HOUR = 3_600_000
SITTINGS = 5


class World:
    """People with a phone and a device each, who record in the same hours; every reading's number says whose it is."""

    def __init__(self, chance: Random, people: int, offset: int, lost: float) -> None:
        self.consenting = {n for n in range(people) if chance.random() < 0.6}
        self.customers: list[Record] = []
        for n in range(people):
            # The own serial number, somebody else's, or one of two that are on most records; sometimes several.
            for claimed in chance.sample([f"s{n}", f"s{chance.randrange(people)}", "reused-1", "reused-2"], 2):
                shares = 10 if n in self.consenting else None
                self.customers.append(customer(f"p{n}@x", 10, shares=shares, serial=claimed))
        self.phones: list[Record] = []
        self.devices: list[Record] = []
        hours = sorted(chance.sample(range(1, 90), SITTINGS))
        # From some sitting on, two people use each other's device.
        swapped = chance.randrange(1, 2 * SITTINGS)
        for n in range(people):
            error = [chance.randint(-offset, offset)] * SITTINGS
            if chance.random() < 0.3:
                error[chance.randrange(SITTINGS) :] = [chance.randint(-offset, offset)] * SITTINGS
            for sitting, hour in enumerate(hours):
                start = hour * HOUR + 600_000 + chance.randrange(20_000)
                times = {start + chance.randrange(60_000) for _ in range(15)}
                device = n if sitting < swapped or n > 1 else 1 - n
                jitter = 5 if offset else 0
                self.phones += [reading(f"p{n}@x", t) | {"x": float(n)} for t in times if chance.random() >= lost]
                self.devices += [
                    distance(f"s{device}", t + error[sitting] + chance.randint(-jitter, jitter))
                    | {"distanceFromObject": float(n)}
                    for t in times
                    if chance.random() >= lost
                ]


def test_no_row_is_of_a_person_without_consent_and_none_pairs_two_people(tables: Tables) -> None:
    paired = 0

    @settings(max_examples=10, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    # A seed, because chance that hypothesis draws itself is not even: all readings of a sitting could be one.
    @given(st.integers(0, 2**32), st.integers(2, 6), st.sampled_from((0, 2_000)), st.sampled_from((0.0, 0.2)))
    def hold(seed: int, people: int, offset: int, lost: float) -> None:
        nonlocal paired
        chance = Random(seed)
        world = World(chance, people, offset, lost)
        late = chance.randint(0, len(world.phones))
        tables.land("customer/a.json", world.customers)
        tables.land("accelerometer/a.json", world.phones[:late] or [reading("nobody@x", 1)])
        tables.land("accelerometer/b.json", [reading("nobody@x", 1)])
        tables.land("step_trainer/a.json", world.devices)
        # Before the phones' late file arrives, claims are all that there is for some devices.
        tables.run()
        tables.land("accelerometer/b.json", world.phones[late:])
        tables.run()
        check(world)
        assert tables.found_wrong() == []
        paired += tables.rows("SELECT count(*) FROM machine_learning_curated")[0][0]

    def check(world: World) -> None:
        readings = tables.rows("SELECT DISTINCT person, distanceFromObject FROM step_trainer_trusted")
        assert all(person == f"p{n:.0f}@x" and n in world.consenting for person, n in readings)
        pairs = tables.rows(
            "SELECT DISTINCT c.person, m.distanceFromObject, m.x FROM machine_learning_curated AS m "
            "JOIN customers_curated AS c ON c.customer_pseudonym = m.customer_pseudonym"
        )
        assert all(person == f"p{n:.0f}@x" and n == x and n in world.consenting for person, n, x in pairs)

    hold()
    assert paired > 500
