"""Whether the tests notice small faults: made, tried and told."""
