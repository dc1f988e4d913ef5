//! Real servers for tests, benches and the demo.
