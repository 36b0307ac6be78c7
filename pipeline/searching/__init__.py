"""A tagging folder and a question in; the tracks or windows that answer it out. No Ray, no torch.

expression.py   "cel and not voi, duration > 60" → a tree
conditions.py   a tree and the columns that there are → SQL with bound values
catalogue.py    `TaggedCatalogue`: find, count, like; what jobs.search and the browser ask
"""
