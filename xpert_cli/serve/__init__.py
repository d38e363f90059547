"""An OpenAI-compatible server for one base model and the adapters of its user: `xpert serve`."""
