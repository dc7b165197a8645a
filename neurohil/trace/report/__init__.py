"""A trace as one HTML page: interactive figures, tables and the configuration, without network."""
