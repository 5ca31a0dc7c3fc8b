"""What workers of a task queue or of a cluster need, so that the journal keeps a clip from being bought twice.

`Job` is one clip as plain JSON, and `JobFeeder` carries jobs out, one at a time, in one open batch. The adapters of
this package use both; so does a worker of any other engine.
"""

from .feeder import JobFeeder
from .jobs import Job, JobResult

__all__ = ["Job", "JobFeeder", "JobResult"]
