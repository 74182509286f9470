//! Where the data of a run come from, and where its output goes.

use std::path::Path;

/// A file of data.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Tensors(&'a Path),
    Csv(&'a Path),
}

/// Where the output goes.
#[derive(Clone, Copy)]
pub(crate) enum Sink<'a> {
    Tensors(&'a Path),
    Csv(&'a Path),
    /// As CSV.
    Printed,
    /// A report of the run is all that was asked for.
    Nowhere,
}
