"""New pseudonyms in the lists of people of all models, after the pseudonym key was rotated."""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stedi.steps.registry.erased_people import read_people
from stedi.steps.registry.published_models import unwritable

# Returns the new pseudonym of each given one that belongs to a known person. A new pseudonym is returned unchanged.
NewPseudonyms = Callable[[Collection[str]], Mapping[str, str]]


@dataclass(frozen=True)
class RekeyedModel:
    """A model whose people get new pseudonyms.

    Attributes:
        name: name of the model. Of a copy deeper in the models folder: its path from there.
        people: number of people.
        unknown: people of whom no landing table has a record. Their new pseudonyms can't be computed: the model is stale.
    """

    name: str
    people: int
    unknown: int

    @property
    def stale(self) -> str | None:
        """Why the rotation makes the model stale; None if it does not."""
        return f"{self.unknown:,} of {self.people:,} people are in no landing table" if self.unknown else None


def plan_rekeying(models: Path, new_pseudonyms: NewPseudonyms) -> list[RekeyedModel]:
    """List what `rekey_people` would change, model by model. Changes nothing.

    Args:
        models: the models folder.
        new_pseudonyms: returns new pseudonyms.

    Raises:
        WarehouseError: a model can't be read.
    """
    return [
        RekeyedModel(
            str(folder.relative_to(models)),
            len(people.pseudonyms),
            len(set(people.pseudonyms) - new_pseudonyms(people.pseudonyms).keys()),
        )
        for folder, people in read_people(models)
    ]


def rekey_people(models: Path, new_pseudonyms: NewPseudonyms) -> list[RekeyedModel]:
    """Write the new pseudonyms to people.json of all models. A killed call can be repeated.

    A person without a new pseudonym gets a random one that nobody has. So the model stays stale: one of its people is not in
    customers_curated.

    Args:
        models: the models folder. The caller holds its lock.
        new_pseudonyms: returns new pseudonyms.

    Raises:
        WarehouseError: a model can't be read or written.
    """
    planned = plan_rekeying(models, new_pseudonyms)
    for folder, people in list(read_people(models)):
        new = new_pseudonyms(people.pseudonyms)
        pseudonyms = tuple(new.get(pseudonym) or secrets.token_hex(32) for pseudonym in people.pseudonyms)
        try:
            replace(people, pseudonyms=pseudonyms).write(folder)
        except OSError as error:
            raise unwritable(models, error) from error
    return planned
