//! What the programs say on a terminal: whatever names and messages others make up, one line stays one line.

use crate::decode::harmless;
use clap::Parser;
use std::ffi::OsString;
use std::fmt::Display;

/// The program's own command line; what is wrong with it ends the program, as clap says it.
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| harmless_error::<T>(std::env::args_os()).unwrap_or(error).exit())
}

/// Clap repeats what it does not take, and a shell's `*` makes arguments of the names of files. What is wrong with a
/// harmless command line is wrong with this one, too.
fn harmless_error<T: Parser>(arguments: impl Iterator<Item = OsString>) -> Option<clap::Error> {
    let arguments = arguments.map(|argument| harmless(&argument.to_string_lossy()).into_owned());
    T::try_parse_from(arguments).err()
}

/// Says why the program ends, in one line on standard error.
pub fn say_error(error: impl Display) {
    eprintln!("error: {}", harmless(&format!("{error:#}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[arg(long, allow_hyphen_values = true)]
        number: Option<u8>,
    }

    #[test]
    fn an_argument_forges_nothing() {
        for argument in ["--\u{1b}[2J\n\u{202e}", "\u{9b}2J\r\n\u{202e}", "--number=\u{1b}[2J\n\u{202e}"] {
            let arguments = ["program", argument].map(OsString::from);
            let said = harmless_error::<Cli>(arguments.into_iter()).expect("an error").render().to_string();
            assert!(said.contains(r"\n\u202e"), "{said:?}");
            assert!(!said.contains(|c| c != '\n' && crate::decode::forges(c)), "{said:?}");
        }
        let good = ["program", "--number", "7"].map(OsString::from);
        assert!(harmless_error::<Cli>(good.into_iter()).is_none());
    }
}
