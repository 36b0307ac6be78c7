"""Where audio comes from: sources, byte ranges, what a failure means, the circuit breaker."""
