"""Floor 6: result records become tables: markdown, CSV and the terminal. A pure function of the records."""

from radnet.leaderboard.markdown import render_markdown
from radnet.leaderboard.terminal import render_terminal
from radnet.leaderboard.write import Leaderboard, write_leaderboard

__all__ = ["Leaderboard", "render_markdown", "render_terminal", "write_leaderboard"]
