//! `cb probe` over the real binary.

mod foreign;
