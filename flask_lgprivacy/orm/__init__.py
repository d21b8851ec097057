"""Labels on models: what a column is, whose a row is, and how it is sealed."""
