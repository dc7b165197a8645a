"""Looking at traces: lists, descriptions, drawings, comparison, and following a run."""
