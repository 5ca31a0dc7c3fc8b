"""Makes the site from the pages in `docs`: `pages` gathers, `listings` tells what the code knows, `check` checks.

`members` decides what the reference shows of each class.

Invariant: what the code states is read from the code at build time and never copied by hand.
"""
