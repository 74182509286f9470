//! Memory before it is asked for: what a command is going to allocate, part by part, against what there is. A request that
//! cannot be met ends the process without a word, or another's in its place.

use std::fs;
use std::path::Path;

use elman::internals::check_memory;

use super::Failure;

/// What is going to be allocated.
#[derive(Default)]
pub(crate) struct Needs {
    parts: Vec<(&'static str, u64)>,
}

impl Needs {
    /// So many bytes for `what`.
    pub(crate) fn bytes(&mut self, what: &'static str, bytes: u64) {
        self.parts.push((what, bytes));
    }

    /// So many `f32`, a number for each dimension of a shape; no computer has [`u64::MAX`] bytes.
    pub(crate) fn floats(&mut self, what: &'static str, shape: &[usize]) {
        // Nothing times anything is nothing.
        let bytes = if shape.contains(&0) {
            0
        } else {
            shape.iter().fold(size_of::<f32>() as u64, |bytes, &size| bytes.saturating_mul(size as u64))
        };
        self.bytes(what, bytes);
    }

    /// So many times what a file holds, which is read whole. What is no file is told where it is opened.
    pub(crate) fn file(&mut self, what: &'static str, path: &Path, times: u64) {
        let bytes = fs::metadata(path).map_or(0, |there| if there.is_file() { there.len() } else { 0 });
        self.bytes(what, bytes.saturating_mul(times));
    }

    /// That there is as much for the verb.
    pub(crate) fn check(&self, verb: &str) -> Result<(), Failure> {
        Ok(check_memory(verb, &self.parts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_and_its_largest_part_are_told() {
        let mut needs = Needs::default();
        needs.floats("the output", &[1 << 30, 1 << 30]);
        needs.floats("the states", &[1 << 20, 3]);
        needs.bytes("the file", 1 << 61);
        let Err(Failure::Run(text)) = needs.check("run") else { panic!("no refusal") };
        assert!(text.starts_with("run: needs 6,917,529,027,653,664,768 bytes (6291456.0 TiB), of them "), "{text}");
        assert!(text.contains("of them 4,611,686,018,427,387,904 bytes (4194304.0 TiB) for the output, "), "{text}");
    }

    #[test]
    fn no_sum_overflows_and_nothing_needs_nothing() {
        let mut needs = Needs::default();
        needs.floats("nothing", &[usize::MAX, usize::MAX, 0]);
        assert!(needs.check("run").is_ok());
        needs.floats("all", &[usize::MAX, 8]);
        needs.bytes("more", u64::MAX);
        let Err(Failure::Run(text)) = needs.check("run") else { panic!("no refusal") };
        assert!(text.starts_with("run: needs 18,446,744,073,709,551,615 bytes"), "{text}");
    }
}
