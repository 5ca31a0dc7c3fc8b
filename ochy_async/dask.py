"""Clips on a Dask cluster: `for result in analyze(client, clips, SideView()): …` (extra `dask`)."""

from .engines.dask import analyze

__all__ = ["analyze"]
