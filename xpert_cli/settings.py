"""The settings: xpert's defaults, and the user's config.ini, which changes them.

    default("base")                     # what config.ini says, or else xpert_cli/defaults.ini
    set_default("base", "qwen3-0.6b")
    section("aliases")                  # {"calm": "elementary-concise-plain"}

Not here: where config.ini is (paths.py), the command (cli/config.py), what aliases stand for (aliases.py).
"""

from __future__ import annotations

import configparser

from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.paths import PACKAGE, config_file, text, whole


def names() -> list[str]:
    """The settings there are."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(PACKAGE / "defaults.ini", encoding="utf-8")
    return list(settings["xpert"])


def known(name: str) -> str:
    """`name`, which must be a setting.

    Raises:
        BadInput: it is none.
    """
    if name not in names():
        raise BadInput(f"there is no setting {name!a}. There are: {', '.join(names())}.")
    return name


def section(name: str) -> dict[str, str]:
    """What a section of config.ini says, by names in small letters; empty where there is no such section.

    Raises:
        BadInput: config.ini is not what it should be.
    """
    settings = configparser.ConfigParser(interpolation=None)
    _add_own(settings)
    return dict(settings[name]) if settings.has_section(name) else {}


def own_settings() -> set[str]:
    """The settings that config.ini changes.

    Raises:
        BadInput: config.ini is not what it should be.
    """
    return set(section("xpert"))


def is_on(name: str) -> bool:
    """Whether a setting that is yes or no is yes.

    Raises:
        BadInput: it is neither.
    """
    return _yes_or_no(name, default(name))


def _yes_or_no(name: str, value: str) -> bool:
    if (switch := configparser.ConfigParser.BOOLEAN_STATES.get(value.lower())) is None:
        raise BadInput(f"the setting {name} is {value!a}, which is neither yes nor no. Write one of them.")
    return switch


def set_default(name: str, value: str) -> None:
    """Change a setting in config.ini, whose other lines stay as they are; an empty value gives the default back.

    Raises:
        BadInput: there is no such setting, or the value is neither yes nor no and has to be.
        BadUsage: the value has several lines.
        CannotWrite: config.ini cannot be written.
    """
    shipped = configparser.ConfigParser(interpolation=None)
    shipped.read(PACKAGE / "defaults.ini", encoding="utf-8")
    if shipped["xpert"][known(name)] in ("yes", "no") and value.strip():
        _yes_or_no(name, value.strip())
    write_setting("xpert", name, value)


def write_setting(of: str, name: str, value: str) -> None:
    """Write a line of a section of config.ini, whose other lines stay as they are; an empty value takes it out.

    Raises:
        BadUsage: the value has several lines.
        CannotWrite: config.ini cannot be written.
    """
    if len(value.splitlines()) > 1:
        raise BadUsage(f"the value of {name} has several lines. Give one.")
    path = config_file()
    lines = text(path).lstrip("\ufeff").splitlines() if path.is_file() else []
    starts = [at for at, line in enumerate(lines) if line.strip().lower() == f"[{of}]"]
    if not starts:
        lines += [f"[{of}]"]
        starts = [len(lines) - 1]
    end = next((at for at in range(starts[0] + 1, len(lines)) if lines[at].startswith("[")), len(lines))
    other_lines = [
        line for line in lines[starts[0] + 1 : end] if line.partition("=")[0].strip().lower() != name.lower()
    ]
    changed = [f"{name} = {value.strip()}"] if value.strip() else []
    with whole(path, "XDG_CONFIG_HOME") as part:
        part.write_text("\n".join([*lines[: starts[0] + 1], *changed, *other_lines, *lines[end:]]) + "\n", "utf-8")


def default(name: str) -> str:
    """A default from xpert_cli/defaults.ini, or from the user's config.ini where it says otherwise.

    Raises:
        BadInput: config.ini is not what it should be.
    """
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(PACKAGE / "defaults.ini", encoding="utf-8")
    _add_own(settings)
    return settings["xpert"][name]


def _add_own(settings: configparser.ConfigParser) -> None:
    """Read config.ini, where there is one; some editors write a byte order mark before its first line."""
    own = config_file()
    try:
        if own.is_file():
            settings.read_string(own.read_text("utf-8-sig"), str(own))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        why = str(error).splitlines()[0].rstrip(".: ")
        raise BadInput(
            f"{own} cannot be read: {why}. Write [xpert] on its first line, and NAME = VALUE below, or remove it."
        ) from error
