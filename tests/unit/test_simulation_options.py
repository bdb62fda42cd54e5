"""The simulator's options: one declaration, from which the command line takes names, types, defaults and texts."""

import subprocess
import sys
from dataclasses import fields

from stedi.simulate import IDEAL, SimulationOptions
from stedi.simulate.options import describe_options


def test_every_field_has_a_description_and_a_default_within_its_bounds() -> None:
    options = describe_options()
    assert [option.name for option in options] == [field.name for field in fields(SimulationOptions)]
    for option in options:
        assert option.description
        assert option.default is None or option.minimum <= option.default <= option.maximum
    by_name = {option.name: option for option in options}
    assert by_name["readings"].type == int | None
    assert by_name["clean"][1:3] == (bool, False)
    assert [by_name[name].bounds for name in ("days", "seed", "clean", "lost")] == ["1 to 9,000", "0 or more", "", "0 to 1"]


def test_ideal_devices_have_no_errors() -> None:
    sizes = {"customers", "days", "seed", "readings", "clean"}
    assert {getattr(IDEAL, option.name) for option in describe_options() if option.name not in sizes} == {0}


def test_options_can_be_listed_without_a_library() -> None:
    script = "import sys, stedi.simulate; sys.exit(bool({'numpy', 'pyarrow', 'duckdb'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
