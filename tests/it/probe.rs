//! `cb probe` over the real binary.

mod command;
mod deadline;
mod dns;
mod foreign;
mod grpc;
mod http;
mod http_expected;
mod tls;
mod told;
mod words;
