"""Clips in object stores: S3, Google Cloud Storage, Azure Blob Storage, and folders as `file://` (extra `objects`)."""

from .listing import Objects, objects
from .spool import SPOOL_BYTES

__all__ = ["SPOOL_BYTES", "Objects", "objects"]
