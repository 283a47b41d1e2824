//! Files: what is open, where it lies, and the file systems that hold it.

pub mod description;
pub mod fd_table;
pub mod file;
pub mod inode;
pub mod io;
