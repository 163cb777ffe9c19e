"""Suites: many cells of a comparison, planned, run, resumed and summed up."""
