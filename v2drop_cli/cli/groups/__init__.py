"""The groups of options, one file each: what is asked, and how it becomes what the rooms take."""
