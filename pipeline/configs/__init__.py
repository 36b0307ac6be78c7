"""What each job is told, a module a job: light to import, as `--help` has to be quick."""
