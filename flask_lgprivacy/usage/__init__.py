"""Usage statistics that identify nobody."""
