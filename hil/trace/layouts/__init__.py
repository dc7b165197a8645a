"""What each kind of run puts into its trace, one file a kind."""
