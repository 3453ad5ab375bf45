//! The cb program: everything is in the library; this ends the process.

#![no_main]

cb::entry_point!(cb::commands::run);
