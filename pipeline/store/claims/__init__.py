"""One writer a folder: a lock of the kernel's on a disk, a lease in a bucket."""
