"""The same databases as the contract suite's."""

from tests.contract.conftest import databases

__all__ = ["databases"]
