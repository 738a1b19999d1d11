//! The limits of a spec as the contents of cgroup v2 files, so that what is written, read back and compared is one text.
