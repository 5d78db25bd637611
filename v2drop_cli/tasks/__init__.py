"""What is asked, row by row, and how answers are scored. Knows no models."""
