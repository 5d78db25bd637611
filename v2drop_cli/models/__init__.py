"""Model families: where the decoder and the vision tokens are. One file per family."""
