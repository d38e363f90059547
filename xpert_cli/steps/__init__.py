"""Steps that several verbs share, one layer below them."""
