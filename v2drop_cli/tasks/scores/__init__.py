"""The metrics, one file each: from an answer and those that are right to a score of 0 to 1."""
