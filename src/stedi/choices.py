"""Values of settings that can also be given as options of commands."""

from typing import Literal

Policy = Literal["customer", "reading"]
EngineName = Literal["embedded", "spark"]
