"""People are erased from a lakehouse with history. Nobody else loses anything."""

import time
from pathlib import Path

from stedi.privacy.erasure.erase import erase, plan
from tests.support.byte_search import files_containing
from tests.support.compare import contents, found_wrong
from tests.support.erasures import ADDRESSES, CARL, DORA, ERASED, IDENTIFIERS, World, landing_bytes
from tests.support.lake import Lake


def test_erased(lake: Lake, twin: Lake) -> None:
    World(lake, ADDRESSES).make_history()
    print(time.process_time(), time.time())
    World(twin, (CARL, DORA)).make_history()
    print(time.process_time(), time.time())
    addresses = [ADDRESSES[who] for who in ERASED]
    planned = plan(lake.settings, addresses)
    done = erase(lake.settings, addresses)
    print([(h.file, h) for h in done.found])
    print(done.doubts)
    print(time.process_time(), time.time())
    assert files_containing(IDENTIFIERS, lake.landing, lake.warehouse, Path(lake.settings.privacy_folder)) == []
    print(time.process_time(), time.time())
    lake.run()
    twin.run()
    assert contents(lake) == contents(twin)
    assert landing_bytes(lake.landing) == landing_bytes(twin.landing)
    assert found_wrong(lake) == []
