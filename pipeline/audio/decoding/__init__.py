"""Files in, samples out: containers, formats and their quirks, resampling, a process as a guard."""
