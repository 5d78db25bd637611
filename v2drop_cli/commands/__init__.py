"""One file per command: what it does. Nothing here prints."""
