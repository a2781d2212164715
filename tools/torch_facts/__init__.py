"""Asks the installed torch and torch_xla what functions, methods and layers take, return, and lack on XLA.

`collect` writes what one pair says, `merge` makes the data of `porter/torch_facts` from several. Besides the pair it
needs `expecttest`, which torch's own sample inputs (`torch.testing`) import.
"""
