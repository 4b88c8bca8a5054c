"""What every test shares."""

from hypothesis import settings

from tests.dataset_runs import photos, whole  # noqa: F401  (the fixtures that degrade a folder)
from tests.running_app import app, slow_app  # noqa: F401  (the fixtures that start the app)

# A slow machine is no failure: no deadline per example.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
