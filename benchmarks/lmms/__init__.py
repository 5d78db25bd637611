"""Checks that need lmms-eval, in an environment of its own: ``.ci/lmms-eval`` runs them all."""
