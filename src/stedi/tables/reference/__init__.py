"""Reference zone: tables about everybody, consenting or not. Data scientists have no access."""
