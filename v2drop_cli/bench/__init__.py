"""One prompt through every arm, measured round by round."""
