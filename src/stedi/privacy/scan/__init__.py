"""Search every byte of a lakehouse for identifiers of erased people: one module for each kind of container."""
