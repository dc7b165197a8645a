"""From populations and projections to a placement on the chip, and the proof that it delivers what was wanted."""
