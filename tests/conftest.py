"""What all tests share."""

from hypothesis import settings

# The same examples in every run and no deadline: kernels compile in the first one.
settings.register_profile("gmmseg", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("gmmseg")
