"""Documents that are made from the code, one module each; `tests/support/generate.py` lists them."""
