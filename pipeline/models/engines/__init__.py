"""What runs a model: torch or OpenVINO in f32, bf16 or int8, behind one `scores(windows)`."""
