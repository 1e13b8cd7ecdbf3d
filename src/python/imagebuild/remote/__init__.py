"""Files and repositories that an ADD names by their URL: fetched, checked, and put into the store as trees of one layer."""
