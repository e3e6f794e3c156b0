"""Training data of a stage by its name, for tests."""

from omni_lab.world.source import lessons


def lessons_of(config, name, films=None):
    """The gallery's lessons of the stage of that name, wherever it stands."""
    lists = (config.training, config.albums, config.context)
    stages = {stage.name: stage for settings in lists for stage in settings.stages}
    return lessons(config, stages[name], films)
