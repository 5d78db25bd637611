"""Prompts about media that only have a size: to time a model without weights, files or processor.

``options`` is what was asked for (no torch), ``prompt`` puts text around the media, ``tiles`` and
``patches`` are what families share in making them up.
"""
