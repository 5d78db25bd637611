"""Methods: which vision tokens stay. One file per method."""
