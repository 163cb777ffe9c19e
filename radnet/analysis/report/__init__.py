"""`radnet analyze`: one report over any models and any sets, made of the measures of `radnet.analysis`."""
