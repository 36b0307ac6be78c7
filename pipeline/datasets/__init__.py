"""What is planned, looked at and read of a dataset before anything runs. No Ray."""
