"""The extension's own tables, column types, identifiers and clock."""
