//! The consumer.
fn main() {}
