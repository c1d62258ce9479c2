"""What the tests of a plugin package may import."""

from tools.testing import FakeService, fake_context, run_tool

__all__ = ["FakeService", "fake_context", "run_tool"]
