"""Rules of a stage: schedules, curriculum of losses, balance of modalities, clipping."""
