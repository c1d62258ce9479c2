"""What plugin packages and scripts may import: a tool, its context and its errors."""

from tools.base import Tool, ToolConfig, ToolContext, ToolError, ToolResult

__all__ = ["Tool", "ToolConfig", "ToolContext", "ToolError", "ToolResult"]
