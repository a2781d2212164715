"""What torch's functions, methods and layers take and return, and what they lack on XLA: data, read when asked for.

`python -m tools.torch_facts` makes the data from installed pairs of torch and torch_xla; nothing here imports either.
"""
