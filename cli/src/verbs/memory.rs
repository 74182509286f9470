//! Memory before it is asked for: what a command is going to allocate, part by part, against what there is. A request that
//! cannot be met ends the process without a word, or another's in its place.

use std::fs;
use std::path::Path;

use indicatif::HumanBytes;

use super::Failure;

/// What is going to be allocated.
#[derive(Default)]
pub(crate) struct Needs {
    parts: Vec<(String, u64)>,
}

impl Needs {
    /// So many bytes for `what`.
    pub(crate) fn bytes(&mut self, what: impl Into<String>, bytes: u64) {
        self.parts.push((what.into(), bytes));
    }

    /// So many `f32`, a number for each dimension of a shape; no computer has [`u64::MAX`] bytes.
    pub(crate) fn floats(&mut self, what: impl Into<String>, shape: &[usize]) {
        // Nothing times anything is nothing.
        let bytes = if shape.contains(&0) {
            0
        } else {
            shape.iter().fold(size_of::<f32>() as u64, |bytes, &size| bytes.saturating_mul(size as u64))
        };
        self.bytes(what, bytes);
    }

    /// So many times what a file holds, which is read whole. What is no file is told where it is opened.
    pub(crate) fn file(&mut self, what: impl Into<String>, path: &Path, times: u64) {
        let bytes = fs::metadata(path).map_or(0, |there| if there.is_file() { there.len() } else { 0 });
        self.bytes(what, bytes.saturating_mul(times));
    }

    /// That there is as much.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.check_against(elman::internals::available_memory())
    }

    fn check_against(&self, available: Option<u64>) -> Result<(), Failure> {
        let sum = self.parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        // What is not told is limited by addresses alone.
        let available = available.unwrap_or(isize::MAX as u64);
        let largest = self.parts.iter().max_by_key(|(_, bytes)| *bytes);
        let Some((what, bytes)) = largest.filter(|_| sum > available) else { return Ok(()) };
        let [sum, available, bytes] = [sum, available, *bytes].map(amount);
        Err(Failure::Run(format!(
            "memory: expected to need at most the {available} there are, got {sum}, {bytes} of it for {what}"
        )))
    }
}

fn amount(bytes: u64) -> String {
    match bytes {
        u64::MAX => "more than 16 EiB".into(),
        _ => HumanBytes(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_and_its_largest_part_are_told() {
        let mut needs = Needs::default();
        needs.floats("the output", &[1 << 10, 1 << 20]);
        needs.floats("the states", &[1 << 20, 3]);
        needs.bytes("the file", 1 << 30);
        let gib = 1 << 30;
        let sum = 5 * gib + (12 << 20);
        assert!(needs.check_against(Some(sum)).is_ok());
        let Err(Failure::Run(text)) = needs.check_against(Some(sum - 1)) else { panic!("no refusal") };
        let there = HumanBytes(sum - 1);
        let expected = format!(
            "memory: expected to need at most the {there} there are, got 5.01 GiB, 4.00 GiB of it for the output"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_sum_overflows_and_nothing_needs_nothing() {
        let mut needs = Needs::default();
        needs.floats("nothing", &[usize::MAX, usize::MAX, 0]);
        assert!(needs.check_against(Some(0)).is_ok());
        needs.floats("all", &[usize::MAX, 8]);
        needs.bytes("more", u64::MAX);
        for available in [Some(u64::MAX - 1), None] {
            let Err(Failure::Run(text)) = needs.check_against(available) else { panic!("no refusal") };
            assert!(text.contains("got more than 16 EiB"), "{text}");
        }
    }
}
