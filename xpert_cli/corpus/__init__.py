"""A person's own writing: read from whatever file it is in (reading.py), as messages that can be split and digested."""

from xpert_cli.corpus.messages import Corpus, Message, Reading, record
from xpert_cli.corpus.reading import Wanted, read

__all__ = ["Corpus", "Message", "Reading", "Wanted", "read", "record"]
