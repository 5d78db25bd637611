"""One file per family: where its vision tokens are, and its decoder."""
