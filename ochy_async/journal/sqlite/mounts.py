"""Where a journal may lie: not on a network file system, whose locks and whose cache cannot be trusted.

Invariant: pure. What the operating system says is handed in.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LOCAL", "NETWORK", "VOLATILE", "doubt_about", "mounted_as", "network_drive", "network_mount"]

NETWORK: Final = frozenset(
    {"9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs"}
    | {"fuse.ceph", "fuse.ceph-fuse", "fuse.curlftpfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs"}
    | {"fuse.goofys", "fuse.juicefs", "fuse.mfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"}
    | {"fuse.vmhgfs-fuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.hdfs", "fuse.mount-s3", "fuse.seaweedfs"}
    | {"fakeowner", "fuse.grpcfuse", "fuse.osxfs", "grpcfuse", "osxfs", "virtiofs"}
)
"""Types of Linux file systems that other machines see too, or that lie on one: the host of a virtual machine as well,
which is what Docker Desktop shares folders with."""

LOCAL: Final = frozenset(
    {"fuse.bindfs", "fuse.encfs", "fuse.exfat", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.lxcfs"}
    | {"fuse.mergerfs", "fuse.ntfs-3g", "fuse.portal", "fuse.securefs"}
)
"""Types of Linux file systems in a program of their own that hand locks and syncs on to a disk of this machine."""

VOLATILE: Final = frozenset({"ramfs", "tmpfs"})
"""Types of Linux file systems that lie in memory."""

REMOTE_DRIVE: Final = 4
"""What Windows' `GetDriveTypeW` answers for a drive of another machine."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_mount(mountinfo: str, path: str) -> str | None:
    """The type of the network file system that holds `path`, by the text of `/proc/self/mountinfo`, or None."""
    kind = mounted_as(mountinfo, path)
    return kind if kind in NETWORK else None


def doubt_about(kind: str | None) -> str | None:
    """What a user should know of a journal on such a file system, which is used all the same; None: nothing."""
    if kind in VOLATILE:
        return (
            f"lies in memory ({kind}): it is lost when the machine restarts, and every clip would be bought again. "
            "Choose a place on a disk"
        )
    if kind is not None and (kind == "fuse" or kind.startswith("fuse.")) and kind not in LOCAL:
        return (
            f"lies on a file system ({kind}) of which it is not known whether it keeps other processes out and what "
            "it confirms; if it does not, clips may be bought twice. Choose a place on a disk of this machine"
        )
    return None


def mounted_as(mountinfo: str, path: str) -> str | None:
    """The type of the file system that holds `path`: the longest mount point counts, and of equals the latest."""
    held, longest, names = None, 0, _names(path)
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        mount = _names(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if names[: len(mount)] == mount and len(mount) >= longest:
            held, longest = kind[0], len(mount)
    return held


def network_drive(path: str, drive_type: int) -> str | None:
    """What kind of network place a full Windows path names, or None."""
    plain = path.replace("/", "\\").upper()
    if plain.startswith("\\\\?\\UNC\\") or (plain.startswith("\\\\") and plain[2:4] not in ("?\\", ".\\")):
        return "UNC share"
    return "network drive" if drive_type == REMOTE_DRIVE else None


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]
