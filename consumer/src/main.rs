//! `consumer`, the program; everything is in the library, where benches reach it, too.

use std::process::ExitCode;

fn main() -> ExitCode {
    consumer::main()
}
