"""Drawn scenes and clips with questions: what ``tiny`` was trained on, and is asked held out."""
