"""Everything that happens in a call: facts, which are stored, and signals, which the world sends; two closed unions.

Each carries when it was, so that no rule asks a clock.
"""

from runtime.conversation.facts import *  # noqa: F403 - one name for the two files
from runtime.conversation.signals import *  # noqa: F403
