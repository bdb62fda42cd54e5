"""Reference zone: tables about everybody, consenting or not. Closed to data scientists."""
