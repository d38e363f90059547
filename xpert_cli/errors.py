"""What can go wrong, in words a user can act on.

Every error raised on purpose is an `XpertError`: one line that says what is wrong and, after it, the fix.
`cli.main` maps them to exit status 1, wrong usage to 2; anything else is a bug and keeps its traceback
under XPERT_DEBUG=1.
"""

from __future__ import annotations


class XpertError(Exception):
    """Base of all expected failures; str(error) is the one line shown to the user."""


class BadInput(XpertError):
    """The user's text, or an option's value, cannot be used as it is."""


class BadUsage(BadInput):
    """The command line is wrong whatever the files hold: an option's value that can never be used. Exit status 2."""


class BadModel(XpertError):
    """A model or adapter file is not what it should be."""


class CacheMismatch(XpertError):
    """The cache, an adapter and the base model at hand do not belong together."""


class CannotWrite(XpertError):
    """An output cannot be written where it was asked for."""


class TimeIsUp(XpertError):
    """The time that a command was given is over."""


class MissingExtra(XpertError):
    """A command needs an optional dependency that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed. Install them with: pip install 'xpert-cli[{extra}]'"
        )
