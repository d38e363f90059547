"""The Hub's own client, set up as xpert uses it: the one door to the network.

    hub = import_hub()
    with explained(hub, "owner/name"):
        hub.HfApi().model_info("owner/name")

No other downloader, no telemetry, no progress bars but ours, and every error in one line. Not here: what is fetched and
where it is kept (hub/repo.py), one file over HTTP (hub/download.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from xpert_cli.errors import BadInput, CacheMismatch, XpertError
from xpert_cli.foreign.text import one_line


class NotThere(CacheMismatch):
    """A cache does not have a file."""


class NotHere(BadInput):
    """A file was not downloaded, and now cannot be."""


def import_hub() -> Any:
    """huggingface_hub, set up as xpert uses it.

    Raises:
        BadInput: it is not installed.
    """
    # No extra downloader (none for Android), no telemetry, and progress is ours to show.
    for setting in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(setting, "1")
    try:
        hub: Any = import_module("huggingface_hub")
        import_module("huggingface_hub.errors")
        import_module("huggingface_hub.constants")
    except ImportError as error:
        raise BadInput(
            "models and caches on the Hub need huggingface-hub. Install it with: pip install huggingface-hub, "
            "or name a local folder or file."
        ) from error
    hub.logging.set_verbosity_error()  # what goes wrong is told in one line, here
    hub.utils.disable_progress_bars()  # also where the user's environment sets the switch above otherwise
    return hub


@contextmanager
def explained(
    hub: Any, what: str, ignore: tuple[type[BaseException], ...] = (), *, writing: bool = False
) -> Iterator[None]:
    """Errors of the Hub's client as one line each; server and network trouble of a type in `ignore` passes."""
    errors = hub.errors
    try:
        yield
    except XpertError:
        raise
    except ImportError as error:  # of socksio, which httpx wants for a SOCKS proxy
        raise BadInput(
            f"{what} is behind a proxy that needs a package: {first_line(error)}. "
            "Install it with: pip install socksio, or take ALL_PROXY and HTTPS_PROXY out of the environment"
        ) from error
    except errors.GatedRepoError as error:
        raise BadInput(f"{what} is gated. Ask for access on its page, then log in with: hf auth login") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"{what} is not on the Hub, or private. Check the name or log in: hf auth login") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{what} has no such revision on the Hub. Check what follows the @.") from error
    except errors.EntryNotFoundError as error:
        raise NotThere(f"{what} is not on the Hub: the cache lacks this file. Use another cache.") from error
    except (errors.HTTPError, errors.HFValidationError, OSError, ValueError) as error:
        if isinstance(error, ignore):
            raise
        if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
            raise BadInput(f"{what} needs a login that may do this: hf auth login ({first_line(error)})") from error
        how = (
            ("written", "look at what is there now")
            if writing
            else ("fetched", "use --offline with what is downloaded")
        )
        raise BadInput(f"{what} cannot be {how[0]}: {first_line(error)}. Try again, or {how[1]}") from error


def first_line(error: BaseException) -> str:
    """What an error says, on one line and not too long."""
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0][:200]).rstrip(". ")
