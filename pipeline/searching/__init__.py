"""A tagging folder and a question in; the tracks or windows that answer it out. No Ray, no torch.

expression → conditions     "cel and not voi, duration > 60" → a tree → SQL with bound values
views                       the tags' files → the view `tracks`, the last row of each
embeddings → vectors, dots  the embeddings' files → what is nearest to a vector; or → index
catalogue                   all of it: `TaggedCatalogue`, which jobs and the browser ask
search, duplicates          what jobs.search does with it; `outputs` writes what was found
"""
