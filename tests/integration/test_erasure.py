"""People are erased from a lakehouse with history. Nobody else loses anything."""

from tests.support.byte_search import files_containing
from tests.support.compare import contents, found_wrong
from tests.support.erasures import ADDRESSES, CARL, DORA, ERASED, IDENTIFIERS, World, landing_bytes
from tests.support.lake import Lake
from stedi.privacy.erasure.erase import erase, plan


def test_erased(lake: Lake, twin: Lake) -> None:
    World(lake, ADDRESSES).make_history()
    World(twin, (CARL, DORA)).make_history()
    print(lake.rows("select * from device_owner order by all"))
    print(twin.rows("select * from device_owner order by all"))
    print(lake.rows("select source_file, reason, raw_record from quarantine order by all"))
    print(len(files_containing(IDENTIFIERS, lake.landing.parent)))
    addresses = [ADDRESSES[who] for who in ERASED]
    planned = plan(lake.settings, addresses)
    done = erase(lake.settings, addresses)
    print(done)
    assert files_containing(IDENTIFIERS, lake.landing.parent) == []
    lake.run(); twin.run()
    assert contents(lake) == contents(twin)
    assert landing_bytes(lake.landing) == landing_bytes(twin.landing)
    assert found_wrong(lake) == []
