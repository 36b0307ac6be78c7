"""What each job is told, one module per job: light to import, as `--help` has to be quick."""
