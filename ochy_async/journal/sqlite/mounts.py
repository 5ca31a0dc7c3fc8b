"""Where a journal can be stored: not on a network file system, whose locks and cache cannot be trusted.

Invariant: pure. The caller passes in what the operating system reports.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "LOCAL_FUSE",
    "NETWORK",
    "VOLATILE",
    "filesystem_type",
    "mount_warning",
    "network_drive",
    "network_filesystem",
]

NETWORK: Final = frozenset(
    {"9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs"}
    | {"fuse.ceph", "fuse.ceph-fuse", "fuse.curlftpfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs"}
    | {"fuse.goofys", "fuse.juicefs", "fuse.mfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"}
    | {"fuse.vmhgfs-fuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.hdfs", "fuse.mount-s3", "fuse.seaweedfs"}
    | {"fakeowner", "fuse.grpcfuse", "fuse.osxfs", "grpcfuse", "osxfs", "virtiofs"}
)
"""Types of Linux file systems that are shared with another machine, or with the host of a virtual machine, as Docker
Desktop shares folders."""

LOCAL_FUSE: Final = frozenset(
    {"fuse.bindfs", "fuse.encfs", "fuse.exfat", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.lxcfs"}
    | {"fuse.mergerfs", "fuse.ntfs-3g", "fuse.portal", "fuse.securefs"}
)
"""Types of Linux user-space file systems that pass locks and syncs on to a disk of this machine."""

VOLATILE: Final = frozenset({"ramfs", "tmpfs"})
"""Types of Linux file systems that are stored in memory."""

REMOTE_DRIVE: Final = 4
"""What `GetDriveTypeW` of Windows returns for a drive of another machine."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_filesystem(mountinfo: str, path: str) -> str | None:
    """Returns the type of the network file system that holds `path`, or None.

    `mountinfo` is the text of `/proc/self/mountinfo`.
    """
    kind = filesystem_type(mountinfo, path)
    return kind if kind in NETWORK else None


def mount_warning(kind: str | None) -> str | None:
    """Returns a warning about a journal on this type of file system, which is used all the same, or None."""
    if kind in VOLATILE:
        return (
            f"is stored in memory ({kind}): it is lost when the machine restarts, and every clip would be bought "
            "again. Choose a place on a disk"
        )
    if kind is not None and (kind == "fuse" or kind.startswith("fuse.")) and kind not in LOCAL_FUSE:
        return (
            f"is on a file system ({kind}) that may not lock out other processes or may lose confirmed changes; "
            "then clips may be bought twice. Choose a place on a disk of this machine"
        )
    return None


def filesystem_type(mountinfo: str, path: str) -> str | None:
    """Returns the type of the file system that holds `path`: that of the longest mount point, then the latest."""
    found, longest, names = None, 0, _names(path)
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        mount = _names(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if names[: len(mount)] == mount and len(mount) >= longest:
            found, longest = kind[0], len(mount)
    return found


def network_drive(path: str, drive_type: int) -> str | None:
    """Returns the kind of network place that a full Windows path names, or None."""
    plain = path.replace("/", "\\").upper()
    if plain.startswith("\\\\?\\UNC\\") or (plain.startswith("\\\\") and plain[2:4] not in ("?\\", ".\\")):
        return "UNC share"
    return "network drive" if drive_type == REMOTE_DRIVE else None


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]
