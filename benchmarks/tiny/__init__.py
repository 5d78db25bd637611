"""Everything that makes the embedded model ``tiny``: its data, training, export and scores."""
