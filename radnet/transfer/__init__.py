"""Floor 5: frozen features and labels become scores, metrics with patient-level intervals, and result records."""
