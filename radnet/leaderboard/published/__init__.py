"""Results that others published, run by run: read, tabled and tested again, and never ranked with our own."""

from radnet.leaderboard.published.study import Study, import_study, read_study

__all__ = ["Study", "import_study", "read_study"]
