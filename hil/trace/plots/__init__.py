"""Pictures drawn from traces, one file a kind of run."""
