"""What is done to windows or samples on their way into training."""
