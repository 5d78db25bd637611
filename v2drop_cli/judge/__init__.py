"""What the numbers show, and what they do not: verdicts, gates, comparability."""
