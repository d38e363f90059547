"""Short names that the user gives to base models, adapters, runs and mixtures: the section [aliases] of config.ini.

    add("calm", "elementary-concise-plain=0.6+run:mara=0.4")
    target("calm")                      # that text; None for what is no alias

An alias stands before everything else of its name, so it cannot be given where the name means something already. It is
looked up once: what an alias stands for is no alias. Not here: what the names behind it mean (hub/sources.py,
cache/opening.py, runs.py).
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from xpert_cli import runs, settings
from xpert_cli.errors import BadInput

SECTION = "aliases"


def all_aliases() -> dict[str, str]:
    """The aliases, and what they stand for.

    Raises:
        BadInput: config.ini is not what it should be.
    """
    return dict(sorted(settings.section(SECTION).items()))


def target(name: str) -> str | None:
    """What an alias stands for, None if `name` is none; capitals make no difference."""
    return settings.section(SECTION).get(name.lower()) or None


def add(name: str, meaning: str, ids: Container[str] = ()) -> str:
    """Give a name to a base model, an adapter, a run, or a mixture; what it then stands for.

    Args:
        ids: of the adapters of caches, which keep their names.

    Raises:
        BadInput: the name cannot be used, or means something else already.
        CannotWrite: config.ini cannot be written.
    """
    runs.require_name(name, "an alias")
    if name in ids:
        raise BadInput(f"{name!r} cannot be an alias: an adapter of the cache is called so. Choose another name.")
    if any(name in (run.name, run.folder.name) for run in runs.all_runs()):
        raise BadInput(f"{name!r} cannot be an alias: a run is called so. Choose another name.")
    if Path(name).exists():
        raise BadInput(f"{name!r} cannot be an alias: a file here is called so. Choose another name.")
    stands_for = target(meaning) or meaning
    settings.write_setting(SECTION, name, stands_for)
    return stands_for


def remove(name: str) -> str:
    """Take an alias away; what it stood for.

    Raises:
        BadInput: there is none of that name.
        CannotWrite: config.ini cannot be written.
    """
    meaning = target(name)
    if meaning is None:
        if not (known := all_aliases()):
            raise BadInput(f"there is no alias {name!a}, and none at all yet. Set one: xpert aliases set NAME MEANING.")
        raise BadInput(f"there is no alias {name!a}. There are: {', '.join(known)}.")
    settings.write_setting(SECTION, name, "")
    return meaning
