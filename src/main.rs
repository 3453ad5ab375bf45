//! The cb program: everything is in the library; this ends the process.

fn main() {}
