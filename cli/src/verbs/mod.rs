//! The verbs of the command line, each a call into the library, and what they have in common.

pub(crate) mod bench;
pub(crate) mod common;
mod csv;
mod facts;
pub(crate) mod inspect;
pub(crate) mod memory;
mod model;
pub(crate) mod peak;
mod plot;
pub(crate) mod predict;
pub(crate) mod reserved;
pub(crate) mod run;
pub(crate) mod sine;
pub(crate) mod test;
pub(crate) mod train;

use std::io;

use elman::ErrorKind;

/// Why a command ends without its result. Shown as one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was called wrongly: exit code 2.
    Usage(String),
    /// It could not do what it was asked to: exit code 1.
    Run(String),
    /// The reader of the output has closed it (`elman sine | head`): not an error.
    Closed,
}

impl From<elman::Error> for Failure {
    fn from(error: elman::Error) -> Self {
        match error.kind() {
            ErrorKind::Setting => Failure::Usage(error.to_string()),
            ErrorKind::Isa => Failure::Usage(format!("ELMAN_ISA: {error}")),
            _ => Failure::Run(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Run(format!("cannot write to standard output: {error}")),
        }
    }
}
