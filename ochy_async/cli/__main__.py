"""`python -m ochy_async.cli` is `ochy`."""

from . import main

if __name__ == "__main__":
    main()
