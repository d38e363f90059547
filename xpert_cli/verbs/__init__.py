"""One module a command; each a function from plain values to a frozen dataclass. Verbs never import each other."""
