//! The VFS: the only unsafe code.
