"""For all tests: a property is about what holds, not about how long a draw takes on a shared machine."""

from hypothesis import settings

settings.register_profile("leadtime", deadline=None)
settings.load_profile("leadtime")
